#!/usr/bin/perl
# What bash cannot do safely for rootfs/build and rootfs/update: judge a tar listing, look into a tree that may hold
# hostile symlinks, exchange two directories. Needs Debian's perl-base (Essential) only, so no module outside it.
#
#   tree.pl listing NAMES VERBOSE   may this archive be unpacked? NAMES: tar -t, VERBOSE: tar -tv, both -P and escaped
#   tree.pl identify ROOT           machine=, linkage=, release=, apk_arch= of the Alpine tree ROOT
#   tree.pl machine FILE            machine=, linkage= of one ELF file
#   tree.pl swap NEW DIR            DIR becomes NEW in one step; what DIR was is then at NEW
use strict;
use warnings;
use Errno qw(EAGAIN ENOENT EINVAL ENOSYS EXDEV EBUSY);

sub refuse { print STDERR "@_\n"; exit 1 }

# The member's path without "./", "//" and a trailing slash; undef if it could lead out of the tree.
sub canonical {
    my ($name) = @_;
    return undef if $name eq '' || $name =~ m{^/};
    my @parts = grep { $_ ne '' && $_ ne '.' } split m{/}, $name;
    return undef if grep { $_ eq '..' } @parts;
    return join '/', @parts;
}

sub read_lines {
    my ($path) = @_;
    open my $in, '<', $path or refuse("$path: $!");
    chomp(my @lines = <$in>);
    close $in or refuse("$path: $!");
    return @lines;
}

sub listing {
    my ($names_file, $verbose_file) = @_;
    my @names = read_lines($names_file);
    my @verbose = read_lines($verbose_file);
    refuse('the archive has no members') unless @names;
    refuse('the two listings of the archive differ in length') unless @names == @verbose;
    my (%type, @members);
    for my $i (0 .. $#names) {
        my $name = $names[$i];
        my $path = canonical($name);
        defined $path or refuse("member \"$name\": absolute path or \"..\" in it");
        my $type = substr $verbose[$i], 0, 1;
        $type =~ /^[-dlh]$/
            or refuse("member \"$name\": type '$type' is neither file, directory nor link (device node?)");
        # The same directory may come twice; anything else twice would be unpacked over, or through, the first.
        refuse("member \"$name\": comes twice") if exists $type{$path} && !($type eq 'd' && $type{$path} eq 'd');
        if ($type eq 'h') {
            # mode owner size date time, then "NAME link to TARGET"
            my ($rest) = $verbose[$i] =~ /^\S+\s+\S+\s+\S+\s+\S+\s+\S+ (.*)$/;
            my $prefix = "$name link to ";
            my $target = defined $rest && index($rest, $prefix) == 0 ? canonical(substr $rest, length $prefix) : undef;
            refuse("member \"$name\": hard link to something that is not an earlier file of the archive")
                unless defined $target && ($type{$target} // '') eq '-';
        }
        $type{$path} = $type;
        push @members, $path;
    }
    # After the loop, because the link a member would pass through may come later in the archive.
    for my $path (@members) {
        my $parent = $path;
        while ($parent =~ s{/[^/]*$}{}) {
            refuse("member \"$path\": would be written through \"$parent\", which is not a directory")
                if exists $type{$parent} && $type{$parent} ne 'd';
        }
    }
    return 0;
}

# Opens PATH below ROOT as if ROOT were /: a symlink cannot lead to a file of the host. undef if it is not there.
sub open_inside {
    my ($root, $path) = @_;
    my $how = pack 'Q3', 0, 0, 0x10;    # O_RDONLY, no mode, RESOLVE_IN_ROOT (openat2(2))
    opendir my $dir, $root or refuse("$root: $!");
    for my $try (1 .. 16) {
        my $copy = "$path";
        my $fd = syscall 437, fileno($dir), $copy, $how, length $how;    # openat2, the same number everywhere
        if ($fd >= 0) {
            open my $file, '<&=', $fd or refuse("$root/$path: $!");
            binmode $file;
            return $file;
        }
        next if $! == EAGAIN;           # a rename elsewhere made the kernel give up on a ".."
        return undef if $! == ENOENT;
        refuse("$root/$path: $!");
    }
    refuse("$root/$path: $!");
}

# (machine, linkage) of an opened ELF file; see elf(5).
sub elf {
    my ($file) = @_;
    my $got = read $file, my $head, 64;
    return ('none', 'none') unless defined $got && $got == 64 && substr($head, 0, 4) eq "\x7fELF";
    my ($class, $order) = unpack 'x4 C C', $head;
    return ('unknown', 'unknown') unless $class == 2 && $order == 1;
    my $number = unpack 'x18 v', $head;
    my $machine = { 62 => 'x86_64', 183 => 'aarch64' }->{$number} // "e_machine $number";
    my ($phoff, $phentsize, $phnum) = unpack 'x32 Q< x14 v v', $head;
    my $linkage = 'static';
    for my $i (0 .. $phnum - 1) {
        seek $file, $phoff + $i * $phentsize, 0 or return ($machine, 'unknown');
        read($file, my $segment, 4) == 4 or return ($machine, 'unknown');
        $linkage = 'dynamic' if unpack('V', $segment) == 3;    # PT_INTERP
    }
    return ($machine, $linkage);
}

sub first_line {
    my ($root, $path) = @_;
    my $file = open_inside($root, $path) or return '';
    my $line = <$file> // '';
    $line =~ s/[^\x21-\x7e]//g;
    return $line;
}

sub identify {
    my ($root) = @_;
    my $busybox = open_inside($root, 'bin/busybox');
    my ($machine, $linkage) = $busybox ? elf($busybox) : ('missing', 'missing');
    print "machine=$machine\nlinkage=$linkage\n";
    print 'release=', first_line($root, 'etc/alpine-release'), "\n";
    print 'apk_arch=', first_line($root, 'etc/apk/arch'), "\n";
    return 0;
}

sub machine {
    my ($path) = @_;
    open my $file, '<', $path or refuse("$path: $!");
    binmode $file;
    printf "machine=%s\nlinkage=%s\n", elf($file);
    return 0;
}

sub swap {
    my ($new, $dir) = @_;
    my $host = (POSIX::uname())[4];
    my $renameat2 = { x86_64 => 316, aarch64 => 276 }->{$host} or refuse("renameat2: number not known on $host");
    my $at_fdcwd = -100;
    # 2 is RENAME_EXCHANGE, 1 RENAME_NOREPLACE: which one must not be guessed by a plain rename, since that would
    # refuse a full directory and silently replace an empty one that somebody else has just made.
    my $flags = lstat($dir) ? 2 : 1;
    my ($from, $to) = ("$new", "$dir");
    return 0 if syscall($renameat2, $at_fdcwd, $from, $at_fdcwd, $to, $flags) == 0;
    my $why = "$!";
    my $mend = $! == EINVAL || $! == ENOSYS ? 'the file system cannot exchange two directories; choose another --output'
        : $! == EXDEV || $! == EBUSY ? "$dir is a mount point; choose a directory below it as --output"
        : 'is the parent directory writable?';
    refuse("renameat2 $new -> $dir: $why; $mend");
}

my %command = (
    listing => [2, \&listing], identify => [1, \&identify], machine => [1, \&machine], swap => [2, \&swap],
);
my $name = shift(@ARGV) // '';
my $row = $command{$name} or refuse("tree.pl: no such command \"$name\"");
require POSIX if $name eq 'swap';
@ARGV == $row->[0] or refuse("tree.pl $name: takes $row->[0] arguments");
exit $row->[1]->(@ARGV);
