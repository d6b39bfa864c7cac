/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exchange.c - the description of an exchange record: names, units and columns of what httpsnoop reports.
 *
 * It must not know how an exchange was decoded nor how it is printed.
 */
#include "proto/exchange.h"

#define OFF(member) REC_OFF(struct exchange, member)

/* In JSON order. */
static const struct field fields[] = {
    REC_HEAD_FIELDS(struct exchange),
    {"proto", "PROTO", "http/1.0, http/1.1, h2, grpc", FT_NAME, 8, 0, OFF(proto)},
    {"nth", "NTH", "1 for the first exchange on this connection; absent when joined", FT_NUM, 4, FF_RIGHT | FF_WIDE,
     OFF(nth)},
    {"stream", "STREAM", "HTTP/2 stream number", FT_NUM, 6, FF_RIGHT, OFF(stream)},
    {"tls", "TLS", "TLS library, unknown in a capture; absent for plaintext", FT_NAME, 8, FF_TEXT | FF_WIDE, OFF(tls)},
    {"method", "METHOD", "request method", FT_STR, 7, FF_TEXT, OFF(method)},
    {"host", "HOST", "host and port asked for: the URI's authority, else the Host header", FT_STR, 20,
     FF_TEXT | FF_FLEX, OFF(host)},
    {"path", "PATH", "path and query asked for", FT_STR, 30, FF_TEXT | FF_FLEX, OFF(path)},
    {"status", "STATUS", "status code of the final response", FT_NUM, 6, FF_TEXT | FF_RIGHT | FF_STATUS, OFF(status)},
    {"reason", "REASON", "reason phrase", FT_STR, 16, 0, OFF(reason)},
    {"latency_us", "LATENCY", "first request byte to last response byte", FT_US, 8, FF_TEXT | FF_RIGHT,
     OFF(latency_us)},
    {"ttfb_us", "TTFB", "first request byte to first byte of the final response", FT_US, 8, FF_RIGHT, OFF(ttfb_us)},
    {"req_bytes", "REQ", "request body bytes on the wire, without chunk framing", FT_BYTES, 6,
     FF_TEXT | FF_RIGHT | FF_WIDE, OFF(req_bytes)},
    {"resp_bytes", "RESP", "response body bytes on the wire, without chunk framing", FT_BYTES, 6, FF_TEXT | FF_RIGHT,
     OFF(resp_bytes)},
    {"req_headers", "REQ_HEADERS", "request header fields", FT_HEADERS, 20, FF_NOCOL, OFF(req_headers)},
    {"resp_headers", "RESP_HEADERS", "response header fields", FT_HEADERS, 20, FF_NOCOL, OFF(resp_headers)},
    {"req_body", "REQ_BODY", "request body, decoded from gzip, br, zstd", FT_BODY, 20, FF_NOCOL, OFF(req_body)},
    {"resp_body", "RESP_BODY", "response body, decoded from gzip, br, zstd", FT_BODY, 20, FF_NOCOL, OFF(resp_body)},
    {"truncated", "TRUNCATED", "a body was longer than what was kept of it", FT_TRUE, 9, FF_REMARK, OFF(truncated)},
    {"lost_bytes", "LOST", "bytes lost in or around this exchange (at most); absent when none", FT_BYTES, 6,
     FF_RIGHT | FF_REMARK, OFF(lost_bytes)},
    {"error", "ERROR", "reset, closed, timeout, lost, malformed", FT_NAME, 9, FF_REMARK, OFF(error)},
    {"ongoing", "ONGOING", "unfinished when the tool ended, or listed while it hangs", FT_TRUE, 7, FF_REMARK,
     OFF(ongoing)},
    {"age_us", "AGE", "how long the request has been open (kind inflight)", FT_US, 8, FF_RIGHT | FF_REMARK,
     OFF(age_us)},
    {"joined", "JOINED", "on a connection older than the tool", FT_TRUE, 6, 0, OFF(joined)},
    {"attribution", "ATTRIBUTION", "how the TLS session was matched to its socket: exact, nested, matched, guess",
     FT_NAME, 11, 0, OFF(attribution)},
    {"grpc_service", "GRPC_SERVICE", "gRPC service", FT_STR, 20, 0, OFF(grpc_service)},
    {"grpc_method", "GRPC_METHOD", "gRPC method", FT_STR, 16, 0, OFF(grpc_method)},
    {"grpc_status", "GRPC_STATUS", "gRPC status code", FT_NUM, 11, FF_RIGHT, OFF(grpc_status)},
    {"srtt_us", "SRTT", "--tcp: smoothed round trip of the connection at the end", FT_US, 8, FF_RIGHT, OFF(srtt_us)},
    {"retrans", "RETRANS", "--tcp: segments sent again meanwhile, by us (-r: by either end)", FT_NUM, 7, FF_RIGHT,
     OFF(retrans)},
    {"zero_us", "ZERO", "--tcp: time meanwhile that a window was 0, both directions added", FT_US, 8, FF_RIGHT,
     OFF(zero_us)},
    {"rwnd_limited_us", "RWNDLIM", "--tcp: time meanwhile that the peer's window held us up", FT_US, 8, FF_RIGHT,
     OFF(rwnd_limited_us)},
    REC_TAIL_FIELDS(struct exchange),
};

const struct schema exchange_schema = {
    .name = "exchange",
    .fields = fields,
    .n = sizeof(fields) / sizeof(fields[0]),
};

const char exchange_tcp_columns[] = "time,pid,comm,conn,role,method,host,path,status,latency_us,resp_bytes,"
                                    "srtt_us,retrans,zero_us,rwnd_limited_us";

static bool has_text(struct rec_str s, struct span text)
{
	return s.p && memmem(s.p, s.n, text.p, text.n);
}

static bool headers_have_text(const struct rec_headers *h, struct span text)
{
	for (unsigned long i = 0; i < h->n; i++)
		if (has_text(h->v[i].name, text) || has_text(h->v[i].value, text))
			return true;
	return false;
}

bool exchange_has_text(const struct record *r, struct span text)
{
	const struct exchange *x = r->data;

	return has_text(x->path, text) || headers_have_text(&x->req_headers, text) ||
	       headers_have_text(&x->resp_headers, text) || has_text(x->req_body, text) || has_text(x->resp_body, text);
}
