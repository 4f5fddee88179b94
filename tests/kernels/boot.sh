#!/usr/bin/env bash
# Runs a script as root under another kernel: tests/kernels/boot.sh TREE SCRIPT SECONDS
# TREE is what kernel.sh unpacked. The machine is emulated, so KVM is not needed. Its root is this system's, read over
# virtiofs; what it writes goes to its memory and is gone with it. It has no network but lo.
# SCRIPT's output goes to standard output; what the kernel says to TREE/../console. The exit status is SCRIPT's, or 125 if
# it did not come to its end within SECONDS.
set -euo pipefail

tree=$(readlink -f "$1")
script=$(readlink -f "$2")
seconds=$3
console=$(dirname "$tree")/console
version=$(ls "$tree/lib/modules")
work=$(mktemp -d)
children=()

# shellcheck disable=SC2317 # called by the trap
cleanup() {
	local child
	for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
	wait
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# What comes up first: busybox, and the modules that the root needs, in the order in which they load.
first=$work/first
mkdir -p "$first"/{proc,sys,dev,host,own,root,modules}
cp "$(command -v busybox)" "$first/busybox"
number=100
while read -r module; do
	number=$((number + 1))
	case $module in
	*.xz) xz -dc "$module" ;;
	*.zst) zstd -dcq "$module" ;;
	*) cat "$module" ;;
	esac >"$first/modules/$number.ko"
done < <(for module in virtio_pci virtiofs overlay; do
	modprobe -d "$tree" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }')

cat >"$first/init" <<'END'
#!/busybox sh
fail() { echo "boot: $*"; /busybox poweroff -f; }
for kind in proc sysfs devtmpfs; do
	case $kind in proc) at=/proc ;; sysfs) at=/sys ;; *) at=/dev ;; esac
	/busybox mount -t $kind $kind $at
done
for module in /modules/*.ko; do /busybox insmod $module; done
/busybox mount -t virtiofs -o ro host /host || fail "the system's files are not there"
/busybox mount -t tmpfs -o size=75% own /own
/busybox mkdir /own/upper /own/work
/busybox mount -t overlay -o lowerdir=/host,upperdir=/own/upper,workdir=/own/work overlay /root || fail "no overlay"
for at in proc sys dev; do /busybox mount -o move /$at /root/$at; done
/busybox cp /second /busybox /root/
exec /busybox switch_root /root /busybox sh /second
END
# In this system's root, as process 1.
cat >"$first/second" <<END
export PATH=$(printf %q "$PATH:/usr/sbin:/sbin") HOME=/root TERM=dumb
mount -t tmpfs run /run
mkdir -p /dev/pts /dev/shm /run/netns
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /lib/modules
mount -o bind $(printf %q "$tree")/lib/modules /lib/modules
ip link set lo up
# Nobody here asks for it by opening its device.
modprobe tun
stty -F /dev/ttyS1 raw
setsid bash /script </dev/null >/dev/ttyS1 2>&1
echo "boot: exit \$?"
sync
/busybox poweroff -f
END
# The script comes along, wherever it is.
sed -i 's|^exec /busybox switch_root|/busybox cp /script /root/script\n&|' "$first/init"
cp "$script" "$first/script"
chmod +x "$first/init"
(cd "$first" && find . | cpio --create --format newc --quiet) >"$work/initramfs"

# Two servers of this kind are about: QEMU's own, up to version 7, and the one that came after.
if [ -x /usr/lib/qemu/virtiofsd ]; then
	/usr/lib/qemu/virtiofsd --socket-path="$work/files" -o source=/ -o cache=always -o sandbox=chroot \
		--thread-pool-size=2 >"$work/virtiofsd" 2>&1 &
else
	/usr/libexec/virtiofsd --socket-path="$work/files" --shared-dir / --cache always --sandbox chroot \
		--thread-pool-size 2 >"$work/virtiofsd" 2>&1 &
fi
children+=($!)
for _ in $(seq 200); do [ ! -S "$work/files" ] || break; sleep 0.05; done
[ -S "$work/files" ] || { cat "$work/virtiofsd" >&2; exit 125; }

# What an emulator does slowly and nothing here needs: copying by bytes (with "rep", cleared again below, as the kernel takes
# that for granted), two guards of the kernel against itself, and what it does against the faults of real processors. Loading
# programs takes two thirds of the time so. It waits for its readers at once: a namespace takes a third of the time.
processor=max,erms=off,fsrm=off,smap=off,smep=off
# QEMU before 8 gets the flags of cmpxchg16b wrong, which Linux 6.12 panics of now and then.
case $(qemu-system-x86_64 --version) in *'version '[1-7].*) processor+=,cx16=off ;; esac
timeout --foreground "$seconds" qemu-system-x86_64 -accel tcg,thread=multi -cpu "$processor" -M q35 -smp 2 -m "${GUEST_MEMORY:-2048}" \
	-object memory-backend-memfd,id=memory,size="${GUEST_MEMORY:-2048}M",share=on -numa node,memdev=memory \
	-nodefaults -display none -no-reboot -nic none \
	-chardev socket,id=files,path="$work/files" -device vhost-user-fs-pci,chardev=files,tag=host \
	-serial "file:$console" -serial stdio -kernel "$tree/boot/vmlinuz-$version" -initrd "$work/initramfs" \
	-append 'console=ttyS0 quiet panic=-1 clearcpuid=112 mitigations=off rcupdate.rcu_expedited=1' </dev/null &
children+=($!)
wait $! || true
status=$(tr -d '\r' <"$console" | sed -n 's/^.*boot: exit \([0-9]*\)$/\1/p' | tail -n 1)
if [ -z "$status" ]; then
	echo "boot: $version did not come to its end within $seconds seconds; its console's end:" >&2
	tail -n 20 "$console" >&2
fi
exit "${status:-125}"
