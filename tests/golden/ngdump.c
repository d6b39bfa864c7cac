/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ngdump.c FILE - each packet of a pcapng file as our reader hands it on, in a form that tshark can say, too: time in
 * nanoseconds (0: none), length on the wire, length captured, MD5 of the bytes. Exit status 1 when the file could not
 * be read to its end.
 *
 * It must not know what is in a packet.
 */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "flow/ng.h"

static void on_packet(void *ctx, const struct ng_packet *p)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	(void)ctx;
	EVP_Digest(p->bytes.p ? p->bytes.p : (const uint8_t *)"", p->bytes.n, sum, &n, EVP_md5(), NULL);
	printf("%" PRIu64 "\t%zu\t%zu\t", p->timed ? p->ts_ns : 0, p->wire_len, p->bytes.n);
	for (unsigned i = 0; i < n; i++)
		printf("%02x", sum[i]);
	printf("\n");
}

int main(int argc, char **argv)
{
	const struct ng_sink to = {.packet = on_packet};
	struct ng_stats st = {0};
	struct err e = {0};
	FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;

	if (!f) {
		fprintf(stderr, "usage: ngdump FILE\n");
		return 2;
	}
	int rc = ng_read(f, argv[1], &to, &st, &e);
	fclose(f);
	if (rc < 0)
		fprintf(stderr, "%s\n", e.text);
	return rc < 0;
}
