# Looks into every other process of the pid namespace, and attaches to it.
opendir(my $proc, "/proc");
for my $pid (grep { /^\d+$/ && $_ != $$ && $_ != 1 } readdir $proc) {
    print "process\n" if -e "/proc/$pid/stat";
    print "peek: DONE\n" if grep { readlink "/proc/$pid/$_" } "exe", "cwd", map { "fd/$_" } 0 .. 20;
    print "ptrace: DONE\n" if syscall(101, 16, $pid, 0, 0) == 0;
}
