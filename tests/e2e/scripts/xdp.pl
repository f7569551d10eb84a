# Loads an XDP program that passes every frame, and pins it at /sys/fs/bpf/pass.
sub address { unpack("Q", pack("P", $_[0])) }
my ($code, $license, $path) = (pack("CCsl" x 2, 0xb7, 0, 0, 2, 0x95, 0, 0, 0), "GPL\0", "/sys/fs/bpf/pass\0");
my $load = pack("LLQQLLQLL", 6, 2, address($code), address($license), (0) x 5);
my $fd = syscall(321, 5, $load, length $load);
my $pin = pack("QLL", address($path), $fd, 0);
$fd >= 0 && syscall(321, 6, $pin, length $pin) == 0 or die $!;
