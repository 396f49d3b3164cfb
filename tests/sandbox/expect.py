# SPDX-License-Identifier: Apache-2.0
"""What a locked worker may do, written from the reasons (SECURITY.md), and on
purpose not from worker/policy.h: the two must come to the same answer.

x86-64 only: the numbers of forbidden calls are those of that machine.
"""

import platform

X86_64 = platform.machine() == "x86_64"

READ, WRITE, MMAP, MUNMAP, RT_SIGRETURN, MREMAP, MADVISE = 0, 1, 9, 11, 15, 25, 28
CLOCK_GETTIME, EXIT_GROUP, GETRANDOM = 228, 231, 318

# The kernel's own uprobe calls pass by any filter. They do nothing without a
# probe that root has set, but answer with SIGILL or ENXIO.
PAST_THE_FILTER = {335, 336}

INT = 0xffffffff


def is_allowed(nr, args):
    """May a worker make that call? `args`: six unsigned 64-bit numbers."""
    if nr in (READ, WRITE):
        return args[0] & INT == 3
    if nr in (MUNMAP, RT_SIGRETURN, EXIT_GROUP):
        return True
    if nr == CLOCK_GETTIME:
        return args[0] & INT < 8            # the eight clocks of the system
    if nr == GETRANDOM:
        return args[2] & INT in (0, 1)
    if nr == MMAP:
        return (args[0], args[2], args[3]) == (0, 3, 0x22)
    if nr == MREMAP:
        return args[3] in (0, 1)
    if nr == MADVISE:
        return args[2] & INT == 4
    return False


# The known attacks on the machine: number of the test -> what it tries. An
# argument may be bytes (their address is passed), "pid" (the parent's), or
# "self".
FORBIDDEN = {
    "D01 open": (2, b"/etc/passwd\0", 0),
    "D01 openat": (257, -100, b"/etc/passwd\0", 0),
    "D01 creat": (85, b"/tmp/pf-escape\0", 0o600),
    "D02 openat2": (437, -100, b"/etc/passwd\0", bytes(24), 24),
    "D03 execve": (59, b"/bin/true\0", 0, 0),
    "D04 execveat": (322, -100, b"/bin/true\0", 0, 0, 0),
    "D05 socket inet": (41, 2, 1, 0),
    "D05 socket netlink": (41, 16, 3, 0),
    "D05 connect": (42, 3, b"\2\0\0\x50\x7f\0\0\1" + bytes(8), 16),
    "D06 socketpair": (53, 1, 1, 0, b"\0" * 8),
    "D07 fork": (57,),
    "D07 clone": (56, 17, 0, 0, 0, 0),
    "D08 vfork": (58,),
    "D08 clone3": (435, bytes(88), 88),
    "D09 ptrace attach": (101, 16, "pid", 0, 0),
    "D09 ptrace traceme": (101, 0, 0, 0, 0),
    "D10 process_vm_readv": (310, "pid", 0, 0, 0, 0, 0),
    "D11 process_vm_writev": (311, "pid", 0, 0, 0, 0, 0),
    "D12 kill": (62, "pid", 9),
    "D12 kill all": (62, -1, 9),
    "D12 tkill": (200, "pid", 9),
    "D12 tgkill": (234, "pid", "pid", 9),
    "D12 pidfd_open": (434, "pid", 0),
    "D12 pidfd_send_signal": (424, 3, 9, 0, 0),
    "D13 rt_sigqueueinfo": (129, "pid", 9, bytes(128)),
    "D14 mmap executable": (9, 0, 4096, 7, 0x22, -1, 0),
    "D14 mmap read execute": (9, 0, 4096, 5, 0x22, -1, 0),
    "D14 mmap shared": (9, 0, 4096, 3, 0x21, -1, 0),
    "D14 mmap file": (9, 0, 4096, 3, 2, 3, 0),
    "D14 mmap fixed": (9, "self", 4096, 3, 0x32, -1, 0),
    "D14 mmap at a place": (9, 0x10000, 4096, 3, 0x22, -1, 0),
    "D14 mmap noreplace": (9, "self", 4096, 3, 0x100022, -1, 0),
    "D14 mmap hugetlb": (9, 0, 2 << 20, 3, 0x40022, -1, 0),
    "D14 mmap populate": (9, 0, 4096, 3, 0x8022, -1, 0),
    "D14 mmap locked": (9, 0, 4096, 3, 0x2022, -1, 0),
    "D14 mmap growsdown": (9, 0, 4096, 3, 0x122, -1, 0),
    "D14 mmap prot above 32 bits": (9, 0, 4096, 3 | 1 << 32, 0x22, -1, 0),
    "D14 mmap flags above 32 bits": (9, 0, 4096, 3, 0x22 | 1 << 32, -1, 0),
    "D14 mremap fixed": (25, "self", 4096, 4096, 3, 0x20000000),
    "D14 mremap dontunmap": (25, "self", 4096, 4096, 5, 0),
    "D15 mprotect": (10, "self", 4096, 5),
    "D16 pkey_mprotect": (329, "self", 4096, 5, -1),
    "D17 memfd_create": (319, b"x\0", 0),
    "D18 remap_file_pages": (216, "self", 4096, 0, 0, 0),
    "D19 personality": (135, 0x0400000),
    "D19 brk": (12, 0),
    "D19 madvise merge": (28, "self", 4096, 12),
    "D19 madvise poison": (28, "self", 4096, 100),
    "D20 io_uring_setup": (425, 8, bytes(120)),
    "D20 io_uring_enter": (426, 3, 1, 0, 0, 0, 0),
    "D20 io_uring_register": (427, 3, 0, 0, 0),
    "D20 io_setup": (206, 8, bytes(8)),
    "D21 bpf": (321, 0, bytes(72), 72),
    "D22 userfaultfd": (323, 0),
    "D23 perf_event_open": (298, bytes(112), 0, -1, -1, 0),
    "D24 keyctl": (250, 0, -3, 0, 0, 0),
    "D24 add_key": (248, b"user\0", 0, 0, 0, -3),
    "D24 request_key": (249, b"user\0", 0, 0, -3),
    "D25 unshare": (272, 0x10000000),
    "D25 setns": (308, 3, 0),
    "D26 mount": (165, b"x\0", b"/\0", b"tmpfs\0", 0, 0),
    "D26 umount2": (166, b"/\0", 2),
    "D26 pivot_root": (155, b".\0", b".\0"),
    "D26 chroot": (161, b"/\0"),
    "D26 open_tree": (428, -100, b"/\0", 1),
    "D26 fsopen": (430, b"tmpfs\0", 0),
    "D27 seccomp": (317, 1, 0, bytes(16)),
    "D27 landlock_create_ruleset": (444, 0, 0, 1),
    "D28 prctl dumpable": (157, 4, 1, 0, 0, 0),
    "D28 prctl seccomp": (157, 22, 2, bytes(16), 0, 0),
    "D28 arch_prctl": (158, 0x1002, 0),
    "D29 prlimit64": (302, "pid", 7, bytes(16), 0),
    "D29 setrlimit": (160, 7, bytes(16)),
    "D30 setpriority": (141, 0, 0, -20),
    "D31 sched_setaffinity": (203, 0, 8, b"\1" + bytes(7)),
    "D31 sched_setscheduler": (144, 0, 1, b"\1\0\0\0"),
    "D32 setuid": (105, 0),
    "D32 setresuid": (117, 0, 0, 0),
    "D32 setgroups": (116, 0, 0),
    "D32 capset": (126, bytes(8), bytes(24)),
    "D33 rt_sigaction": (13, 10, 0, 0, 8),
    "D33 rt_sigprocmask": (14, 0, b"\xff" * 8, 0, 8),
    "D33 sigaltstack": (131, bytes(24), 0),
    "D34 getpid": (39,),
    "D34 gettid": (186,),
    "D34 uname": (63, bytes(400)),
    "D34 sysinfo": (99, bytes(128)),
    "D34 clock of another process": (228, -8 * 2 - 6, bytes(16)),
    "D34 clock_settime": (227, 0, bytes(16)),
    "D34 getrandom that drains": (318, bytes(8), 8, 2),
    "D35 read 0": (0, 0, bytes(8), 8),
    "D35 read 1": (0, 1, bytes(8), 8),
    "D35 read 2": (0, 2, bytes(8), 8),
    "D35 read 4": (0, 4, bytes(8), 8),
    "D35 read 1023": (0, 1023, bytes(8), 8),
    "D35 write 0": (1, 0, bytes(8), 8),
    "D35 write 1": (1, 1, bytes(8), 8),
    "D35 write 2": (1, 2, bytes(8), 8),
    "D35 write 4": (1, 4, bytes(8), 8),
    "D35 readv": (19, 3, bytes(16), 1),
    "D35 pread64": (17, 3, bytes(8), 8, 0),
    "D36 dup": (32, 3),
    "D36 dup2": (33, 3, 0),
    "D36 dup3": (292, 3, 0, 0),
    "D36 close": (3, 3),
    "D37 sendmsg": (46, 3, bytes(56), 0),
    "D37 sendto": (44, 3, bytes(8), 8, 0, 0, 0),
    "D37 recvmsg": (47, 3, bytes(56), 0),
    "D37 getsockopt": (55, 3, 1, 17, bytes(12), b"\x0c\0\0\0"),
    "D38 ioctl TIOCSTI": (16, 3, 0x5412, b"x"),
    "D39 fcntl": (72, 3, 0, 10),
    "D39 poll": (7, bytes(8), 1, 0),
    "D39 epoll_create1": (291, 0),
    "D39 inotify_init1": (294, 0),
    "D39 signalfd4": (289, -1, bytes(8), 8, 0),
    "D39 timer_create": (222, 0, 0, bytes(8)),
    "D39 setitimer": (38, 0, bytes(32), 0),
    "D39 futex": (202, "self", 1, 1, 0, 0, 0),
    "D39 restart_syscall": (219,),
    "D39 exit of a thread": (60, 0),
}
