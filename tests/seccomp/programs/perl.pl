# Files, processes, pipes, sockets, sleep, sockets between processes, sorting.
use strict;
use warnings;
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use POSIX qw(:sys_wait_h);
use Socket;
use Time::HiRes qw(usleep);

$| = 1;
my $dir = tempdir(CLEANUP => 1);
open(my $out, '>', "$dir/file") or die $!;
print $out join("\n", map { $_ * $_ } 1 .. 5), "\n";
close($out);
open(my $in, '<', "$dir/file") or die $!;
flock($in, 2) or die $!;
my @lines = <$in>;
print scalar(@lines), " ", eval { my $sum = 0; $sum += $_ for @lines; $sum }, "\n";
print `echo from a shell`;
my $child = fork() // die $!;
if (!$child) { usleep(1000); exit 7; }
waitpid($child, 0);
print $? >> 8, "\n";
socketpair(my $left, my $right, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die $!;
syswrite($left, "pair\n");
print scalar(<$right>);
my $server = IO::Socket::UNIX->new(Local => "$dir/socket", Listen => 1) or die $!;
if (!fork()) {
    my $peer = IO::Socket::UNIX->new(Peer => "$dir/socket") or die $!;
    print $peer "socket\n";
    exit 0;
}
print scalar(readline($server->accept()));
wait();
local $SIG{ALRM} = sub { die "alarm\n" };
eval { alarm(1); select(undef, undef, undef, 60); };
print $@;
