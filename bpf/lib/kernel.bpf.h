/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * kernel.bpf.h - the kernel's types as far as they are used here: only the fields that are read, found in the running
 * kernel by CO-RE. It must not know events or maps.
 *
 * Names and fields are the kernel's; layouts are not: every structure with preserve_access_index is relocated at load.
 */
#ifndef SNOOP_KERNEL_BPF_H
#define SNOOP_KERNEL_BPF_H

#define __VMLINUX_H__ /* tells bpf_tracing.h that pt_regs has the kernel's names */

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef __u16 __sum16;
#define bool _Bool
#define true 1
#define false 0
#define NULL ((void *)0)

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_STACK_TRACE = 7,
	BPF_MAP_TYPE_CGROUP_ARRAY = 8,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_F_MMAPABLE = 1024, BPF_F_RDONLY_PROG = 128 };
enum { BPF_F_USER_STACK = 256 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2 };
enum { BPF_RB_AVAIL_DATA = 0, BPF_RB_PROD_POS = 3 };

/* x86-64 registers as saved at kernel entry: an ABI, not relocated. */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

struct bpf_raw_tracepoint_args {
	__u64 args[8];
};

/* Userland ABI. */
struct iovec {
	__u64 iov_base, iov_len;
};
struct user_msghdr_abi {
	__u64 msg_name;
	__u32 msg_namelen, pad0;
	__u64 msg_iov, msg_iovlen, msg_control, msg_controllen;
	__u32 msg_flags, pad1;
};
struct mmsghdr_abi {
	struct user_msghdr_abi msg_hdr;
	__u32 msg_len, pad0;
};
struct syscall_exit_ctx { /* format of tracepoints syscalls/sys_exit_* */
	__u64 common;
	__s64 nr, ret;
};

enum { AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10 };
enum { SOCK_STREAM = 1, IPPROTO_TCP = 6, IPPROTO_MPTCP = 262, RCV_SHUTDOWN = 1, SOCK_DONE_BIT = 1 };
enum { MSG_OOB = 1, MSG_PEEK = 2, MSG_TRUNC = 0x20, MSG_ERRQUEUE = 0x2000 };
enum { EPIPE = 32, ENOSYS = 38, ECONNABORTED = 103, ECONNRESET = 104, ECONNREFUSED = 111 };
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
	TCP_NEW_SYN_RECV,
};
enum { SOCK_SNDBUF_LOCK = 1, SOCK_RCVBUF_LOCK = 2 }; /* sock.sk_userlocks */
enum { PF_KTHREAD = 0x200000 };
enum { PF_IO_WORKER = 0x10 }; /* task_struct.flags: io_uring's worker or submission thread (5.12+) */
enum { TS_COMPAT = 2 };       /* thread_info.status: in a 32-bit system call */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Records of tracepoints, after 8 bytes that all have. */
struct trace_event_raw_sock_msg_length { /* sock_send_length, sock_recv_length */
	void *sk;
	int ret, flags;
};
struct trace_event_raw_tcp_event_sk { /* tcp_rcv_space_adjust */
	const void *skaddr;
};

typedef struct {
	int counter;
} atomic_t;
typedef struct {
	__s64 counter;
} atomic64_t;
typedef struct {
	__u32 val;
} kuid_t;

struct list_head {
	struct list_head *next;
};
struct ns_common {
	unsigned int inum;
};
struct netns_ipv4 {
	int sysctl_tcp_rmem[3];
	__u8 sysctl_tcp_window_scaling, sysctl_tcp_syncookies; /* int before 5.13: read as bit fields */
};
struct net {
	struct ns_common ns;
	struct netns_ipv4 ipv4;
};
typedef struct {
	struct net *net;
} possible_net_t;
struct pid_namespace {
	struct ns_common ns;
};
struct upid {
	int nr;
	struct pid_namespace *ns;
};
struct pid {
	unsigned int level;
	struct upid numbers[1];
};
struct signal_struct {
	atomic_t live;
};
struct thread_info {
	__u32 status;
};
struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
};
struct socket;
struct file {
	void *private_data;
	struct inode *f_inode;
};
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};
struct files_struct {
	struct fdtable *fdt;
};
struct task_struct {
	struct thread_info thread_info;
	int pid, tgid;
	struct task_struct *group_leader, *real_parent;
	struct pid *thread_pid;
	struct signal_struct *signal;
	struct files_struct *files;
	struct io_uring_task *io_uring;
	unsigned int flags;
	char comm[16];
};

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};
struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	unsigned long skc_flags;
};
struct sk_buff_head {
	struct sk_buff *next;
	__u32 qlen;
};
struct unix_skb_parms { /* in sk_buff.cb of Unix sockets */
	__u32 consumed;
};
struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	struct socket *sk_socket;
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
	int sk_rcvbuf, sk_sndbuf, sk_wmem_queued;
	__u8 sk_userlocks;
	kuid_t sk_uid;
	__u16 sk_type, sk_protocol;
	int sk_err;
	__u8 sk_shutdown;
};
struct socket {
	struct file *file;
	struct sock *sk;
};
struct net_device {
	possible_net_t nd_net;
};
struct sk_buff {
	struct sock *sk;
	struct net_device *dev;
	unsigned int len;
	char cb[48];
	__be16 protocol;
	__u16 transport_header, network_header;
	unsigned char *head, *data;
};
struct iphdr {
	__u8 ihl : 4, version : 4;
	__u8 protocol;
	__be32 saddr, daddr;
};
struct ipv6hdr {
	__u8 nexthdr;
	struct in6_addr saddr, daddr;
};
struct tcphdr {
	__be16 source, dest;
	__u16 doff : 4, fin : 1, syn : 1, rst : 1;
	__be16 window;
};
struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};
struct tcp_ulp_ops {
	char name[16];
};
struct inet_sock {
	__be16 inet_sport;
};
struct inet_connection_sock {
	struct inet_sock icsk_inet;
	const struct tcp_ulp_ops *icsk_ulp_ops;
	__u8 icsk_backoff, icsk_probes_out;
};
struct tcp_options_received {
	__u16 tstamp_ok : 1, wscale_ok : 1, sack_ok : 3, snd_wscale : 4, rcv_wscale : 4;
};
struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 copied_seq, rcv_nxt, snd_nxt, snd_una, write_seq;
	__u64 bytes_received, bytes_acked, bytes_sent, bytes_retrans;
	__u32 snd_wnd, rcv_wnd, mss_cache, snd_cwnd, srtt_us, total_retrans, rcv_ssthresh, window_clamp;
	struct {
		__u32 rtt_us;
	} rcv_rtt_est;
	struct tcp_options_received rx_opt;
	__u32 chrono_start, chrono_stat[3];
	__u8 chrono_type;
	__u8 syn_data, syn_fastopen, syn_fastopen_child, is_mptcp;
};
struct mptcp_sock {
	struct sock *first;
};
struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};
struct unix_address {
	int len;
	struct sockaddr_un name[1];
};
struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

struct io_uring_cqe {
	__u64 user_data;
	__s32 res;
	__u32 flags;
};
struct io_kiocb {
	struct file *file;
	__u8 opcode;
	__u32 flags; /* the low half where it has 64 bits */
};
struct kiocb {
	struct file *ki_filp;
};
struct io_rw {
	struct kiocb kiocb;
	__u64 addr;
	__u32 len;
};
struct io_sr_msg {
	struct file *file;
	void *buf;
	unsigned int done_io;
};

#pragma clang attribute pop

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;

/*
 * Reads a chain of fields of the kernel object at p, of type T: by plain loads where the kernel has bpf_rdonly_cast
 * (6.2+), a tenth of the cost, else by probe_read. cfg (filter.bpf.h) is constant at load: the other way is dead code.
 */
#define KREAD(T, p, ...)                                                                                               \
	(cfg.direct_reads ? ___arrow(((T *)bpf_rdonly_cast((void *)(p), bpf_core_type_id_kernel(T))), __VA_ARGS__)     \
	                  : BPF_CORE_READ((T *)(p), __VA_ARGS__))

/* The same for an integer field that is a bit field on some kernels, or has another width there. */
#define KBITS(T, p, field)                                                                                             \
	({                                                                                                             \
		T *k_ = (T *)(p);                                                                                      \
		__u64 v_;                                                                                              \
		if (cfg.direct_reads) {                                                                                \
			k_ = (T *)bpf_rdonly_cast((void *)(p), bpf_core_type_id_kernel(T));                            \
			v_ = BPF_CORE_READ_BITFIELD(k_, field);                                                        \
		} else {                                                                                               \
			v_ = BPF_CORE_READ_BITFIELD_PROBED(k_, field);                                                 \
		}                                                                                                      \
		v_;                                                                                                    \
	})

#endif
