# A repository's life: init, commits, branch, merge, stash, clone (local and with the transport), gc, fsck, archive.
set -e
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
cd "$(mktemp -d)"
git init -q -b main one
cd one
for n in 1 2 3; do
    echo "line $n" >>file
    git add file
    git commit -q -m "commit $n"
done
git checkout -q -b side HEAD~1
echo other >other
git add other
git commit -q -m side
git checkout -q main
git merge -q -m merged side
echo changed >>file
git stash -q
git stash pop -q
git checkout -q file
git log --format=%s | sort | tr '\n' ' '
git clone -q . ../two
git clone -q "file://$PWD" ../three
git -C ../three push -q origin HEAD:pushed
git gc -q --aggressive --prune=now
git fsck --strict
git count-objects -v | grep -E '^(count|packs):' | tr '\n' ' '
git -C ../two log --oneline | wc -l
git -C ../three status --short --branch
git branch --list pushed | tr -d ' '
git archive HEAD | tar t | tr '\n' ' '
git diff --stat HEAD~3 | tail -n 1
git grep -c line
git worktree add -q ../four side
git -C ../four rev-parse --abbrev-ref HEAD
