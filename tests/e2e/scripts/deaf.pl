#!/usr/bin/perl
# Opens a packet socket without a ring on a link, with the smallest buffer, and never reads it.
# usage: deaf.pl IFINDEX
use strict;
use warnings;

my ($index) = @ARGV;
# AF_PACKET, SOCK_RAW, ETH_P_ALL in network byte order.
socket(my $socket, 17, 3, 0x0300) or die "socket: $!\n";
# SOL_SOCKET, SO_RCVBUF. The kernel raises the size to its minimum.
setsockopt($socket, 1, 8, pack('i', 1)) or die "setsockopt: $!\n";
# struct sockaddr_ll
bind($socket, pack('SnlSCCa8', 17, 3, $index, 0, 0, 0, '')) or die "bind: $!\n";
$| = 1;
print "listening\n";
sleep 1000;
