# shellcheck shell=bash
# What tests/vm/install, run and test_vm.sh share: where things are, and the two programs built from init.c and share.c.

vm_source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
vm_virtiofsd=/usr/lib/qemu/virtiofsd
vm_qemu=qemu-system-x86_64

# The kernel modules init loads, in this order: dependencies first.
vm_modules=(
    drivers/virtio/virtio_ring.ko
    drivers/virtio/virtio.ko
    drivers/virtio/virtio_pci_legacy_dev.ko
    drivers/virtio/virtio_pci_modern_dev.ko
    drivers/virtio/virtio_pci.ko
    drivers/char/virtio_console.ko
    fs/fuse/fuse.ko
    fs/fuse/virtiofs.ko
    fs/overlayfs/overlay.ko
)

# vm_cache: the cache directory.
vm_cache() {
    realpath -m -- "${BIVY_CACHE:-/var/cache/bivy}/vm"
}

# vm_missing: what is not there, one line each; nothing when a machine can be booted.
vm_missing() {
    local cache=$1
    [[ $(uname -m) == x86_64 ]] || echo "an x86_64 host (this is $(uname -m))"
    # virtiofsd opens with O_NOATIME for the overlay, which only a file's owner or root may
    [[ $EUID -eq 0 ]] || echo "root"
    command -v "$vm_qemu" >/dev/null || echo "$vm_qemu (package qemu-system-x86)"
    [[ -x $vm_virtiofsd ]] || echo "$vm_virtiofsd (package qemu-system-common)"
    local tool
    for tool in cpio setpriv flock cc; do
        command -v "$tool" >/dev/null || echo "$tool"
    done
    [[ -e $cache/kernel/current/vmlinuz && -d $cache/kernel/current/modules ]] ||
        echo "a kernel in $cache/kernel/current"
}

# vm_build CACHE: prints the directory with share and initrd for this kernel and these sources, built when needed.
# Made aside and moved in whole, so that several at once neither wait for each other nor see half of it.
vm_build() {
    local cache=$1 kernel key dir temp module
    kernel=$(realpath "$cache/kernel/current")
    key=$(cat "$vm_source"/{init.c,share.c,common.sh} <(echo "$kernel") | sha256sum | cut -c1-16)
    dir=$cache/build/$key
    if [[ ! -e $dir ]]; then
        mkdir -p "$cache/build"
        temp=$(mktemp -d "$cache/build/.new.XXXXXX")
        mkdir -p "$temp/root/modules" "$temp/root/dev"
        cc -O2 -o "$temp/share" "$vm_source/share.c"
        cc -O2 -static -s -o "$temp/root/init" "$vm_source/init.c"
        for module in "${vm_modules[@]}"; do
            cp "$kernel/modules/kernel/$module" "$temp/root/modules/"
            basename "$module"
        done >"$temp/root/modules.list"
        (cd "$temp/root" && find . | cpio --quiet -o -H newc -R 0:0) >"$temp/initrd"
        rm -rf "$temp/root"
        chmod 755 "$temp"
        mv -T "$temp" "$dir" 2>/dev/null || rm -rf "$temp"
        [[ -e $dir/initrd ]]
    fi
    echo "$dir"
}
