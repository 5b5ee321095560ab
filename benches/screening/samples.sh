#!/usr/bin/env bash
# The spoken samples of the screening bench, outside the repository.
#
#   benches/screening/samples.sh CACHE
#
# Reads the lines of texts/*.txt with every voice at hand, each line by several of them, into CACHE/audio/KIND-VOICE-LINE.s16
# (8 kHz, 16-bit, mono; the order of the names decides which half of the evaluation a sample is in). Voices: flite, and
# espeak-ng from Debian's packages, which are downloaded with apt-get and unpacked into CACHE/root, not installed. From the
# same place come recordings of people (letters and words; a person's voice mail prompts and beep) and music on hold.
# Needs apt-get, dpkg, sox and flite. Some 80 MB and three minutes.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 CACHE" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/debs" "$1/root" "$1/audio"
cache=$(cd "$1" && pwd)
libraries=$cache/root/usr/lib/$(uname -m)-linux-gnu

packages=(espeak-ng espeak-ng-data libespeak-ng1 libsonic0 libpcaudio0 asterisk-core-sounds-en-wav asterisk-moh-opsound-wav
  klettres-data pocketsphinx-testdata)
flite_voices=(slt rms awb kal)
espeak_voices=(en-us+m3 en-gb+f2 en-us+f4 en-gb-scotland+m1 en-gb+m7)

fetch() {
  local package
  for package in "${packages[@]}"; do
    compgen -G "$cache/debs/${package}_*.deb" >/dev/null || (cd "$cache/debs" && apt-get download -qq "$package" 2>/dev/null)
    [ -e "$cache/debs/$package.unpacked" ] && continue
    dpkg -x "$cache/debs/${package}"_*.deb "$cache/root"
    touch "$cache/debs/$package.unpacked"
  done
}

# Silence at both ends is cut: pauses are the bench's own.
convert() {
  local from=$1 to=$2
  shift 2
  sox -V1 -D "$from" -t raw -e signed -b 16 -r 8000 -c 1 "$to.part" \
    silence 1 0.02 0.4% reverse silence 1 0.02 0.4% reverse "$@" 2>/dev/null || { rm -f "$to.part"; return 0; }
  mv "$to.part" "$to"
}

say() {
  local voice=$1 text=$2 number=$3
  if [ "${voice#flite-}" != "$voice" ]; then
    flite -voice "${voice#flite-}" --setf duration_stretch="1.$(( number * 7 % 20 ))" -t "$text" -o "$cache/voice.wav"
  else
    LD_LIBRARY_PATH=$libraries "$cache/root/usr/bin/espeak-ng" --path="$libraries" -v "$voice" -p $(( 30 + number * 13 % 40 )) \
      -s $(( 140 + number * 17 % 50 )) -w "$cache/voice.wav" "$text" 2>/dev/null
  fi
}

# Every line by three voices, so that no voice has a kind to itself.
read_lines() {
  local kind=$1 times=$2 voices=("${flite_voices[@]/#/flite-}" "${espeak_voices[@]}") number=0 turn voice out
  while IFS= read -r text; do
    number=$((number + 1))
    for turn in $(seq "$times"); do
      voice=${voices[$(( (number * 2 + turn * 4) % ${#voices[@]} ))]}
      out=$cache/audio/$kind-$(printf '%03d' "$number")-$voice.s16
      [ -e "$out" ] && continue
      say "$voice" "$text" "$number"
      convert "$cache/voice.wav" "$out"
    done
  done <"$here/texts/$kind.txt"
}

recordings() {
  local sounds=$cache/root/usr/share/asterisk file name
  for file in "$sounds"/sounds/en*/vm-{intro,isunavail,isonphone,theperson,goodbye,rec-unv,nobodyavail}.wav "$sounds"/sounds/en*/{vm-nobodyavail,queue-thankyou,queue-periodic-announce}.wav; do
    [ -e "$file" ] || continue
    name=$(basename "$file" .wav)
    convert "$file" "$cache/audio/voicemail-person-$name.s16"
  done
  for file in $(find "$sounds" "$cache/root/usr/share/klettres" "$cache/root/usr/share/kde4" \( -path '*klettres/en/*' -o -path '*klettres/de/*' -o -path '*klettres/en_GB/*' \) -name '*.ogg' 2>/dev/null | LC_ALL=C sort | awk 'NR % 3 == 1' | head -60); do
    convert "$file" "$cache/audio/word-klettres-$(basename "$(dirname "$file")")-$(basename "$file" .ogg).s16"
  done
  for file in $(find "$cache/root" -path '*pocketsphinx*' \( -name '*.wav' -o -name '*.raw' \) | LC_ALL=C sort); do
    case $file in
      *.raw) sox -V1 -t raw -r 16000 -e signed -b 16 -c 1 "$file" "$cache/voice.wav" && convert "$cache/voice.wav" "$cache/audio/talk-person-$(basename "$file" .raw).s16" ;;
      *) convert "$file" "$cache/audio/talk-person-$(basename "$file" .wav).s16" ;;
    esac
  done
  for file in "$sounds"/moh/*.wav; do
    convert "$file" "$cache/audio/music-$(basename "$file" .wav).s16" trim 0 100
  done
}

fetch
read_lines greeting 3
read_lines answer 3
read_lines talker 4
read_lines hello 4
read_lines question 3
read_lines patience 3
read_lines notice 2
recordings
for kind in greeting answer talker hello question patience notice voicemail word talk music; do
  echo "$kind: $(find "$cache/audio" -name "$kind-*.s16" | wc -l) samples, $(( $(cat "$cache/audio/$kind"-*.s16 2>/dev/null | wc -c) / 16000 )) s"
done
