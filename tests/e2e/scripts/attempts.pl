# What a process in a default container tries, and what it is. The argument is MAJOR:MINOR of the disk. The last lines are
# compared with those under runc.
$| = 1;
sub attempt { my ($what, $done) = @_; print "$what: ", $done ? "DONE" : "refused", "\n" }
sub writes { my ($path, $text) = @_; open(my $file, "+<", $path) or return; syswrite($file, $text) }
sub reads { open(my $file, "<", $_[0]) or return; sysread($file, my $byte, 1) }
sub lists { opendir(my $folder, $_[0]) or return; grep { !/^\.\.?$/ } readdir $folder }
sub device { my ($type, $major, $minor) = @_; unlink "/node"; system("mknod", "/node", $type, $major, $minor); reads("/node") }

attempt "write $_", writes($_, "1") for "/proc/sys/kernel/panic", "/proc/sys/net/ipv4/ip_default_ttl", "/proc/irq/default_smp_affinity",
    "/sys/kernel/mm/ksm/run", "/sys/block/vda/queue/read_ahead_kb";
attempt "write /proc/sysrq-trigger", writes("/proc/sysrq-trigger", "h");
attempt "make a cgroup", mkdir "/sys/fs/cgroup/escape";
attempt "read $_", reads($_) for "/proc/kcore", "/proc/keys", "/proc/timer_list", "/dev/mem", "/dev/vda";
attempt "list $_", lists($_) for "/proc/acpi", "/proc/scsi", "/sys/firmware";
attempt "read a node of the disk", device("b", split ":", $ARGV[0]);
attempt "read a node of /dev/mem", device("c", 1, 1);
attempt "read a node of /dev/kmsg", device("c", 1, 11);
my ($none, $tmp, $tmpfs) = ("none", "/tmp", "tmpfs");
attempt "mount", syscall(165, $none, $tmp, $tmpfs, 0, 0) == 0;
attempt "unshare mounts", syscall(272, 0x20000) == 0;
attempt "unshare users", syscall(272, 0x10000000) == 0;
attempt "keyctl", syscall(250, 0, -3, 0) != -1;
attempt "bpf", syscall(321, 0, $none, 0) != -1;
attempt "leave by a descriptor", scalar grep { $_ > 2 && chdir("/proc/self/fd/$_") } lists("/proc/self/fd");

print "has ", join(" ", /^(Cap\w+|NoNewPrivs|Seccomp):\s+(\S+)/), "\n" for do { open my $s, "<", "/proc/self/status"; <$s> };
print "profile ", do { open my $p, "<", "/proc/self/attr/current"; <$p> // "none\n" };
open my $table, "<", "/proc/self/mountinfo";
print sort map { my @f = split; my ($dash) = grep { $f[$_] eq "-" } 0 .. $#f; "mount $f[4] $f[5] $f[$dash + 1]\n" } <$table>;
