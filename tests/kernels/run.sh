#!/usr/bin/env bash
# The root tests under other kernels, and under the running one; what each kernel has, and what its verifier says.
# KERNELS   which ones (default: all of "5.10 6.1 6.12 6.18 newest running"; "newest" is what Debian's backports have now)
# TESTS     which of tests/*.rs, each with a part of the names of its tests if not all: "kernel lifecycle:stopped"
# JOBS      how many at once (default: one for each processor)
# PATIENCE  how many times longer than here an emulated machine may take for something (default: 10)
# What it finds goes into docs/kernels.md after each file, unless parts of files were chosen; other files' cells stay, so
# several calls can collect them. The verifier's instructions are compared with what stands there. The machines are emulated,
# so a test takes five to fifteen times as long as it does here: two hours in all.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Bullseye's 6.1 and bookworm-backports' 6.12 are those of the next release; sid is behind trixie-backports.
declare -A suites=([5.10]=bullseye [6.1]=bookworm [6.12]=trixie [6.18]=trixie-backports [newest]=trixie-backports)
document=docs/kernels.md
cache=target/kernels
seconds=14400 # for all of a kernel
test_seconds=2400 # for one of tests/*.rs

read -ra kernels <<<"${KERNELS:-5.10 6.1 6.12 6.18 newest running}"
read -ra chosen <<<"${TESTS:-}"
jobs=${JOBS:-$(nproc)}
sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)
say() { echo "kernels: $*" >&2; }

[ "$(uname -m)" = x86_64 ] || { say "only x86-64 kernels are known here"; exit 1; }
for kernel in "${kernels[@]}"; do
	[ "$kernel" = running ] || [ -n "${suites[$kernel]:-}" ] || { say "no kernel $kernel; there are: ${!suites[*]} running"; exit 1; }
done

say "building the tests"
declare -A executables
while read -r executable; do
	name=$(basename "$executable")
	executables[${name%-*}]=$executable
done < <(cargo test --no-run --message-format=json | grep '"kind":\["test"\]' | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
[ "${#executables[@]}" -gt 0 ] || { say "the tests do not build"; exit 1; }
if [ "${#chosen[@]}" = 0 ]; then
	# "package" makes a whole system from the network, which a guest has not; "reference" needs no root.
	mapfile -t chosen < <(printf '%s\n' kernel "${!executables[@]}" | grep -vx 'package\|reference' | awk '!seen[$0]++' | sort)
fi
whole=yes
[[ ${chosen[*]} != *:* ]] || whole=no

work=$(mktemp -d)
declare -A running=()
# shellcheck disable=SC2317 # called by the trap
cleanup() {
	local process
	for process in "${running[@]}"; do "${sudo[@]}" kill "$process" 2>/dev/null || true; done
	wait
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# What runs under each kernel, whose shell is to expand it. Its words of its own begin with "@".
# shellcheck disable=SC2016
script() { # PATIENCE
	local entry name filter
	echo "cd $(printf %q "$PWD")"
	# How many times longer than here something may take that is waited for.
	echo "export UDPTRACK_TEST_PATIENCE=$1"
	# Where the document is written anew, the tests do not hold the programs to what it said before.
	[ $whole = no ] || echo "export UDPTRACK_TEST_KERNELS=yes"
	echo 'echo "@kernel $(uname -r)"; failed=0'
	echo 'run() { name=$1; shift; read -r begin rest </proc/uptime; echo "@begin $name"'
	echo "	timeout $test_seconds \"\$@\" --ignored --test-threads=1 --show-output 2>&1; code=\$?"
	echo '	read -r end rest </proc/uptime; echo "@end $name $code $((${end%.*} - ${begin%.*}))"; [ $code = 0 ] || failed=1; }'
	for entry in "${chosen[@]}"; do
		name=${entry%%:*} filter=
		[ "$name" = "$entry" ] || filter=${entry#*:}
		[ -n "${executables[$name]:-}" ] || { say "there is no tests/$name.rs"; exit 1; }
		printf 'run %q %q %s\n' "$entry" "${executables[$name]}" "$(printf %q "$filter" | sed "s/^''$//")"
	done
	echo 'exit $failed'
}
script "${PATIENCE:-10}" >"$work/emulated"
script 1 >"$work/here"

for kernel in "${kernels[@]}"; do
	[ "$kernel" = running ] || tests/kernels/kernel.sh "${suites[$kernel]}" "$kernel" "$cache/$kernel"
done

# Results of one kernel: lines of section, row, column and value, separated by tabs. A column is named after the kernel's version.
results() { # KERNEL
	tr -d '\r' <"$work/$1.log" | awk -v column="$1" -v OFS='\t' '
		$1 == "@kernel" {
			if (column != "running") { split($2, part, "."); column = part[1] "." part[2] }
			print "features", "release", column, $2
		}
		$1 == "@begin" { binary = $2; ok = failed = skipped = 0; delete is_skipped; delete outcome; test = "" }
		# What a test starts may write into its line, so the lists at the end count.
		/^test .* \.\.\. / { outcome[$2] = "did not end" }
		/^(successes|failures):$/ { list = $1 == "successes:" ? "ok" : "failed" }
		/^    [A-Za-z0-9_:]+$/ && ($1 in outcome) { outcome[$1] = list }
		/^---- .* stdout ----$/ { test = $2 }
		/^SKIPPED: / && !(test in is_skipped) { is_skipped[test] = 1; print "skipped", binary " " test, column, substr($0, 10) }
		/^feature: / { split(substr($0, 10), part, ": "); print "features", part[1], column, part[2] }
		/^verdict: / { print "instructions", $3 ", " $2, column, $4 }
		$1 == "@end" {
			for (name in outcome)
				if (name in is_skipped) skipped++
				else if (outcome[name] == "ok") ok++
				else { failed++; print "failed", binary " " name, column, outcome[name] }
			if ($3 != 0 && !failed) { failed++; print "failed", binary, column, $3 == 124 ? "did not come to its end" : "exit " $3 }
			print "tests", binary, column, ok " ok" (skipped ? ", " skipped " skipped" : "") (failed ? ", " failed " failed" : "")
			print "seconds", binary, column, $4
		}'
}

# What is known by now, and what the document had before it was written to.
collect() {
	local kernel
	for kernel in "${kernels[@]}"; do [ ! -e "$work/$kernel.log" ] || results "$kernel"; done >"$work/new"
	[ ! -e "$document" ] || cells <"$document" >"$work/there"
	touch "$work/there"
	[ -e "$work/old" ] || cp "$work/there" "$work/old"
}

# The tables of a document, as such lines.
cells() {
	awk -F ' *[|] *' -v OFS='\t' '
		/^## / { section = tolower(substr($0, 4)); heads = 0; next }
		!/^[|]/ || /^[|]-/ { next }
		!heads { heads = NF - 1; for (i = 3; i <= heads; i++) head[i] = $i; next }
		{ for (i = 3; i <= heads; i++) if ($i != "") print section, $2, head[i], $i }'
}

# Tables of such lines; of two values for a place the last one counts.
tables() {
	awk -F '\t' '
		function order(text,   part) { split(text, part, "."); return text == "running" ? 1e9 : part[1] * 1000 + part[2] }
		$1 == "seconds" || $1 == "failed" || $4 == "0 ok" { next }
		{
			if (!(($1, $2) in seen)) { seen[$1, $2] = 1; rows[$1, ++count[$1]] = $2 }
			if (!($3 in column)) { column[$3] = 1; columns[++width] = $3 }
			cell[$1, $2, $3] = $4
		}
		END {
			for (i = 2; i <= width; i++)
				for (j = i; j > 1 && order(columns[j]) < order(columns[j - 1]); j--) {
					swap = columns[j]; columns[j] = columns[j - 1]; columns[j - 1] = swap
				}
			split("Features Tests Skipped Instructions", sections, " ")
			for (s = 1; s <= 4; s++) {
				section = tolower(sections[s])
				if (!count[section]) continue
				printf "\n## %s\n\n| |", sections[s]
				for (i = 1; i <= width; i++) printf " %s |", columns[i]
				printf "\n|---|"
				for (i = 1; i <= width; i++) printf "---|"
				print ""
				for (r = 1; r <= count[section]; r++) {
					row = rows[section, r]
					printf "| %s |", row
					for (i = 1; i <= width; i++) printf " %s |", cell[section, row, columns[i]]
					print ""
				}
			}
		}'
}

# The document anew. Of what is there stays what these files do not say, and what is of a file that there is.
# Of the running kernel nothing is kept: it is another one elsewhere.
write() {
	{
		cat <<-'END'
			# Kernels

			Written by `make test-kernels`: what each kernel has of all that udptrack can use, the root tests under it (where it
			lacks something, the fallback is tested), and how many instructions its verifier looks at for each program, of a
			million: with the default settings, with all that can be switched on, and with what a capture (`captures`) and reading
			one (`replay`) need besides. The secret key of a run moves them by a few percent. A test file that was not run under
			a kernel has an empty cell there.

			The kernels are Debian's: of bullseye (5.10), bookworm (6.1), trixie (6.12) and trixie-backports (what is later). What
			the other archives have are these versions, too.
		END
		awk -F '\t' -v files="${!executables[*]}" '
			BEGIN { split(files, name, " "); for (i in name) is_there[name[i]] = 1 }
			NR == FNR { if ($1 == "tests") ran[$2, $3] = 1; next }
			{ file = $2; sub(/ .*/, "", file) }
			$1 == "features" || $1 == "instructions" { file = "kernel" }
			$1 == "tests" ? is_there[file] : !((file, $3) in ran)' "$work/new" "$work/there" | cat - "$work/new" |
			grep -vP '\trunning\t' | tables
	} >"$work/document"
	cp "$work/document" "$document"
}

# Says what has come to its end since the last call, and writes it down.
declare -A told=()
tell() {
	local kernel line ends fresh=no
	for kernel in "${kernels[@]}"; do
		[ -e "$work/$kernel.log" ] || continue
		ends=$(grep -ac '^@end' "$work/$kernel.log" || true)
		while [ "${told[$kernel]:-0}" -lt "$ends" ]; do
			told[$kernel]=$((${told[$kernel]:-0} + 1)) fresh=yes
			line=$(results "$kernel" | grep -P '^(tests|seconds)\t' | cut -f 2,4 | paste - - | sed -n "${told[$kernel]}p")
			say "$kernel: $(cut -f 1 <<<"$line"): $(cut -f 2,4 <<<"$line" | tr '\t' ' ') s"
		done
	done
	[ $fresh = no ] || collect
	[ $fresh = no ] || [ $whole = no ] || write
}

begin() { # KERNEL
	say "$1: begins"
	if [ "$1" = running ]; then
		"${sudo[@]}" env "PATH=$PATH" bash "$work/here" </dev/null >"$work/$1.log" 2>&1 &
	else
		"${sudo[@]}" env "PATH=$PATH" tests/kernels/boot.sh "$cache/$1/tree" "$work/emulated" "$seconds" </dev/null >"$work/$1.log" 2>&1 &
	fi
	running[$1]=$!
}

failed=0
waiting=("${kernels[@]}")
while [ "${#waiting[@]}" -gt 0 ] || [ "${#running[@]}" -gt 0 ]; do
	while [ "${#waiting[@]}" -gt 0 ] && [ "${#running[@]}" -lt "$jobs" ]; do
		begin "${waiting[0]}"
		waiting=("${waiting[@]:1}")
	done
	sleep 1
	for kernel in "${!running[@]}"; do
		if ! kill -0 "${running[$kernel]}" 2>/dev/null; then
			code=0
			wait "${running[$kernel]}" || code=$?
			unset "running[$kernel]"
			[ "$code" = 0 ] || failed=1
			[ "$code" -le 1 ] || { say "$kernel: exit $code"; tail -n 25 "$work/$kernel.log" >&2; }
			mkdir -p "$cache/$kernel"
			cp "$work/$kernel.log" "$cache/$kernel/log"
		fi
	done
	tell
done
collect
awk -F '\t' '$1 == "failed" { print "kernels: FAILED under " $3 ": " $2 " (" $4 ")" }' "$work/new" >&2

echo "Instructions that the verifier looked at, against $document:"
awk -F '\t' '$1 != "instructions" { next }
	FILENAME == ARGV[1] { old[$2, $3] = $4; next }
	!(($2, $3) in old) { fresh++; next }
	{ compared++ }
	old[$2, $3] != $4 { changed++; printf "  %s: %s: %d -> %d (%+.1f %%)\n", $3, $2, old[$2, $3], $4, ($4 / old[$2, $3] - 1) * 100 }
	END { printf "  %d compared, %d of them changed, %d new\n", compared, changed, fresh }' "$work/old" "$work/new"

tables <"$work/new"
exit "$failed"
