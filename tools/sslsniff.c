/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sslsniff.c - the plaintext of a process's TLS connections as it passes, record by record or call by call.
 *
 * Only the description of the tool: it must not parse options, print or talk to the kernel.
 */
#include "core/tool.h"
#include "proto/tlsdata.h"

struct cfg {
	uint64_t max; /* bytes of data in a record; 0: all */
	bool extra, handshake;
};

static bool has_grep_text(const struct record *r, struct span text)
{
	const struct tlsdata *d = r->data;

	return d->data.p && memmem(d->data.p, d->data.n, text.p, text.n);
}

#define OWN(member) .off = offsetof(struct cfg, member)
#define RUN(member) .off = offsetof(struct run_cfg, member), .run = true

static const struct opt opts[] = {
    {0, "max", "BYTES", "at most so many bytes of each record's data (default: all)", OPT_SIZE, OWN(max)},
    {0, "hex", NULL, "data as a hex dump", OPT_FLAG, RUN(hex)},
    {0, "follow", NULL, "one line where connection or direction change, and data only in between", OPT_FLAG,
     RUN(follow)},
    {'x', "extra", NULL, "more columns: tid, role, both addresses, library, function", OPT_FLAG, OWN(extra)},
    {0, "handshake", NULL, "also handshakes (version, cipher, SNI, ALPN, duration) and alerts", OPT_FLAG,
     OWN(handshake)},
    {0, "dir", "DIR", "only what the process writes (out), or reads (in)", OPT_MATCH, .match = {MATCH_LIST, "dir"},
     .values = "out in"},
    {0, "role", "ROLE", "only where the process is the client, or the server", OPT_MATCH, .match = {MATCH_LIST, "role"},
     .values = "client server"},
    {0, "grep", "TEXT", "only data with this text in one record", OPT_MATCH,
     .match = {MATCH_PRED, .pred = has_grep_text}},
    {0},
};

static int setup(const void *cfg, struct run_cfg *rc, struct flow_cfg *fc, struct err *e)
{
	const struct cfg *c = cfg;

	(void)e;
	rc->body_max = c->max ? c->max : UINT64_MAX;
	fc->dec.body_max = (size_t)rc->body_max;
	fc->handshakes = c->handshake || rc->json;
	rc->text_columns = c->extra ? "time,comm,pid,tid,conn,role,local,remote,lib,func,dir,len"
	                            : "time,comm,pid,conn,remote,dir,len";
	return 0;
}

static const struct example examples[] = {
    {"sudo sslsniff -p 4711", "What does this process say and hear inside its TLS connections?"},
    {"sudo sslsniff -p 4711 --dir out --grep Authorization", "Which requests carry credentials, and to whom?"},
    {"sudo sslsniff -p \"$(pidof node)\" --handshake --max 0K",
     "Who speaks which TLS version and cipher, and how long do handshakes take?"},
    {"sudo sslsniff -j -d 10 -c java | jq -r 'select(.dir==\"in\").data'",
     "What a Java program reads, for ten seconds."},
    {"sudo sslsniff --hex -- curl -s https://example.org/", "Watch one command, byte by byte."},
    {NULL, NULL},
};

BPF_OBJECT(sslsniff);

static const struct tool tool = {
    .name = "sslsniff",
    .summary = "show the plaintext of TLS connections of running processes",
    .description =
        "Shows what TLS connections carry. With --via keys (and auto, wherever keys can be had) it decrypts what "
        "passes "
        "on sockets: secrets of new handshakes come from the library's own key-log function (OpenSSL, BoringSSL, "
        "GnuTLS, Go), from the memory of the processes named, or from --keylog-in. Connections older than the tool "
        "need memory: AES-GCM of any runtime; ChaCha20 where OpenSSL is a shared library, once its sessions are "
        "learnt (a second or two, then cached). Not shown: older connections with CBC and encrypt-then-MAC or CCM; new "
        "ones of runtimes without a key-log function (Java, NSS) that end before their memory was read, mostly within "
        "half a second. --coverage says which source serves a process.",
    .examples = examples,
    .opts = opts,
    .cfg_size = sizeof(struct cfg),
    .schema = &tlsdata_schema,
    .hint_unit = "record",
    .bpf = sslsniff_bpf,
    .bpf_end = sslsniff_bpf_end,
    .tls_calls = true,
    .tls_only = true,
    .decoders = raw_decoders,
    .setup = setup,
};

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv);
}
