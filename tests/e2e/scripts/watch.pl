# Looks into each new process of the pid namespace, until one runs the program of the image. Such a process belongs to
# the container, and other processes of the container may look into it.
my ($program) = @ARGV;
my %known = map { $_ => 1 } grep { /^\d+$/ } list();
my $joining = 0;
$| = 1;
print "watching\n";
my $end = time + 50;
while (time < $end) {
    for my $pid (grep { /^\d+$/ && !$known{$_} } list()) {
        my @open = look("/proc/$pid");
        my $exe = readlink "/proc/$pid/exe";
        if (defined $exe && $exe eq $program) {
            print $joining ? "joined unseen\n" : "joined\n";
            exit;
        }
        # Files that could be opened belong to the process before execve(2), because it has not run the program since.
        push @open, "exe $exe" if defined $exe;
        print "@open: DONE\n" and exit if @open;
        $joining = 1 if -e "/proc/$pid/stat";
    }
}
print "no process joined\n";

sub list {
    opendir my $proc, "/proc" or die;
    return readdir $proc;
}

sub look {
    my ($process) = @_;
    my @open = grep { readlink "$process/$_" } "cwd", map { "fd/$_" } 3 .. 20;
    push @open, "root" if opendir my $root, "$process/root";
    push @open, "memory" if open my $memory, "<", "$process/mem";
    push @open, "environment" if open my $environment, "<", "$process/environ" and <$environment>;
    return @open;
}
