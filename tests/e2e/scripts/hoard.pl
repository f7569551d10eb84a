#!/usr/bin/perl
# Enters a network namespace of its own, makes links and opens files there, prints "ready" and sleeps.
use strict;
my ($links, $files, $pid_file) = @ARGV;
my ($SYS_dup, $SYS_unshare, $CLONE_NEWNET, $SYS_prlimit64, $RLIMIT_NOFILE) = (32, 272, 0x40000000, 302, 7);
syscall($SYS_unshare, $CLONE_NEWNET) == 0 or die "unshare: $!";
open(my $ip, '|-', 'ip -batch -') or die "ip: $!";
print $ip "link add d$_ type dummy\n" for 1 .. $links;
close $ip or die "ip: $?";
my $limit = pack('QQ', 1 << 20, 1 << 20);
syscall($SYS_prlimit64, 0, $RLIMIT_NOFILE, $limit, 0) == 0 or die "prlimit: $!";
syscall($SYS_dup, 0) >= 0 or die "dup: $!" for 1 .. $files;
open(my $pid, '>', $pid_file) or die "pid: $!";
print $pid $$;
close $pid;
$| = 1;
print "ready\n";
sleep 100000;
