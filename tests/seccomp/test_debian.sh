#!/usr/bin/env bash
# Programs linked with glibc under the filter: python3, node, git, gcc and make, sqlite3, perl, tar and the packers do
# real work in a sandbox on Debian packages (debian-rootfs), then all of it once more under the eyes of refusals.c.
# TAP on stdout.
# Environment: BIVY_TEST_CACHE (see debian-rootfs) and what lib.bash names.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.bash"

status=0
tree=$("$here/debian-rootfs" 2>"$work/why") || status=$?
((status != 77)) || cannot "$(tail -n 1 "$work/why")"
if ((status != 0)); then
    verdict 1 'a rootfs of Debian packages' "$(<"$work/why")"
    finish
fi

owner=54321 # of the workspaces; root may not own them
round=plain followed=()
# run WHAT OPTION... -- COMMAND...: the command must print what stands on stdin and end with status 0. Each has a
# workspace of its own with the files of programs/ in it.
run() {
    local what=$1 wanted place seen status=0 follow=()
    shift
    wanted=$(cat)
    place=$(mktemp -d "$work/workspace.XXXXXX")
    cp -- "$here"/programs/* "$place"
    chown -R "$owner:$owner" "$place"
    if [[ $round == followed ]]; then
        followed+=("$work/refused.$point")
        follow=("$BIVY_REFUSALS" "$work/refused.$point")
    fi
    seen=$("${follow[@]}" "$BIVY" run --rootfs "$tree" --workspace "$place" --memory 1G --cpus 2 --pids 200 \
        --scratch 512M --timeout 120s "$@" 2>&1 </dev/null) || status=$?
    rm -rf -- "$place"
    if ((status == 0)) && [[ $seen == "$wanted" ]]; then
        verdict 0 "$what ($round)"
    else
        verdict 1 "$what ($round)" "status $status"$'\n'"wanted: $wanted"$'\n'"seen: $seen"
    fi
}

everything() {
    run 'python3: threads, timers, signals' -- python3 threads.py <<'TEXT'
69986000
alarm
TEXT
    run 'python3: subprocess and multiprocessing' -- python3 processes.py <<'TEXT'
CompletedProcess(args=['sh', '-c', 'cat; exit 3'], returncode=3, stdout=b'in', stderr=b'')
42
popen None
fork [1, 1, 2, 6, 24, 120]
spawn [1, 1, 2, 6, 24, 120]
forkserver [1, 1, 2, 6, 24, 120]
shared 42 0
counted 400
TEXT
    run 'python3: asyncio and sockets' --network loopback -- python3 asynchronous.py <<'TEXT'
['HELLO', 'HELLO', 'HELLO']
HELLO
HELLO
(b'through', None) 0
45
timeout
b'pair' AF_UNIX
b'datagram'
TEXT
    run 'python3: files and memory' -- python3 files.py <<'TEXT'
4096
7
1048576
1048576
1048576
8192
100
8192
1
['file', 'file.hard', 'file.range', 'file.renamed', 'link'] 2
16 True True
TEXT
    run 'python3: sqlite3 with a write-ahead log' -- python3 database.py <<'TEXT'
('wal',)
(300, 314850)
(0, 0, 0)
('ok',)
TEXT
    run 'python3: a virtual environment' -- sh -c 'python3 -m venv --without-pip /tmp/v && /tmp/v/bin/python -c "
import sys
print(sys.prefix)"' <<'TEXT'
/tmp/v
TEXT
    run 'node: workers, children, files, http' --network loopback -- node node.js <<'TEXT'
workers 3000
sync
spawned
forked message
file,file.copy 300000
watched new
614550c3 8
lo true true
200 POST /path
served 1000000
TEXT
    run 'git: a life of a repository' -- sh git.sh <<'TEXT'
commit 1 commit 2 commit 3 merged side count: 0 packs: 1 5
## main...origin/main
pushed
file other  2 files changed, 3 insertions(+)
file:3
side
TEXT
    run 'gcc, g++ and make: threads, exceptions' -- sh -c 'make -s -j2 && ./c && ./c++ && make -s -q' <<'TEXT'
c 30
c++ 10 thrown
TEXT
    run 'gcc: link-time optimisation, a static and a shared library' -- sh -c '
gcc -O2 -flto=2 -pthread -o lto main.c square.c && ./lto
gcc -shared -fPIC -o libsquare.so square.c && gcc -pthread -o shared main.c -L. -lsquare -Wl,-rpath,. && ./shared
gcc -c square.c && ar rcs libs.a square.o && gcc -static -pthread -o static main.c libs.a && ./static' <<'TEXT'
c 30
c 30
c 30
TEXT
    run 'sqlite3: the shell, write-ahead log' -- sh -c 'sqlite3 /tmp/db "pragma journal_mode=wal; create table t(a);
insert into t values (1), (2); select sum(a) from t;" && sqlite3 /tmp/db .dump | grep -c INSERT' <<'TEXT'
wal
3
2
TEXT
    run 'perl: files, processes, sockets' -- perl perl.pl <<'TEXT'
5 55
from a shell
7
pair
socket
alarm
TEXT
    run 'tar, gzip, bzip2, xz' -- sh -c 'mkdir /tmp/d && cp * /tmp/d && cd /tmp
for z in gzip bzip2 xz; do
tar -c --use-compress-program=$z -f d.tar.$z d && mkdir $z && tar -x -C $z -f d.tar.$z && diff -r d $z/d && echo $z; done
xz -T2 -c d.tar.gzip | xz -dc | cmp - d.tar.gzip' <<'TEXT'
gzip
bzip2
xz
TEXT
    run 'coreutils and bash: copies, sorts, pipes' -- bash -c 'set -o pipefail
seq 200000 >/tmp/n; sort -R --parallel=2 -S 1M /tmp/n | sort -n --parallel=2 | cmp - /tmp/n && echo sorted
cp -a --reflink=auto /tmp/n /tmp/m; cp --sparse=always /tmp/n /tmp/o; dd if=/tmp/n of=/tmp/p conv=fsync status=none
cat /tmp/n | tee /tmp/q | sha256sum --quiet -c <(sha256sum - </tmp/m) && cmp /tmp/o /tmp/p && echo copied
coproc cat; echo co >&"${COPROC[1]}"; read -r -u "${COPROC[0]}" line; echo "$line"
find . -name "*.c" -print0 | xargs -0 -n1 -P4 basename | sort | tr "\n" " "; timeout 0.05 sleep 60; echo $?
mkfifo /tmp/f; (echo fifo >/tmp/f &) ; cat /tmp/f; nice -n 3 nice; mv /tmp/n /home/sandbox/; ls -l /home/sandbox | wc -l' <<'TEXT'
sorted
copied
co
main.c square.c 124
fifo
3
2
TEXT
    run 'ssh-keygen: a key' -- sh -c '
ssh-keygen -q -t ed25519 -N "" -f /tmp/key && ssh-keygen -l -f /tmp/key | cut -d" " -f1,4' <<'TEXT'
256 (ED25519)
TEXT
}

# names HOST COMMAND...: with --explain the record says that the command wanted that host. Neither the GNU C library nor c-ares ever asks
# for it, for their connect to the name server fails already.
names() {
    local host=$1 seen='' status=0
    shift
    "$BIVY" run --rootfs "$tree" --memory 1G --cpus 2 --pids 200 --timeout 120s --explain --report "$work/record" -- "$@" \
        >"$work/said" 2>&1 </dev/null || status=$?
    seen=$(<"$work/record")
    if ((status != 125)) && [[ $seen == *"\"name\":\"$host\",\"address\":"* && $seen == *" tried to reach $host;"* ]]; then
        verdict 0 "--explain names the host: $1"
    else
        verdict 1 "--explain names the host: $1" "$(<"$work/said")"$'\n'"$seen"
    fi
}

everything
names pypi.example.org python3 -c 'import urllib.request; urllib.request.urlopen("https://pypi.example.org/simple/")'
names git.example.org git clone https://git.example.org/a/b /tmp/b
names registry.example.org node -e 'fetch("https://registry.example.org/left-pad").catch(e => console.log(e.cause))'
names c-ares.example.org node -e 'require("dns").resolve("c-ares.example.org", console.log)'
names perl.example.org perl -MIO::Socket::INET -e 'IO::Socket::INET->new("perl.example.org:80") or die'
names ssh.example.org ssh git@ssh.example.org
round=followed
everything
report_refusals 'no refusal but the expected' "${followed[@]}"
finish
