#!/usr/bin/env bash
# Talk-off audio: speech and music without a key, from Debian's packages, outside the repository.
#
#   benches/dtmf/talkoff.sh CACHE
#
# Downloads the packages with apt-get (nothing is installed), unpacks them into CACHE/root and writes 8 kHz 16-bit mono
# samples to CACHE/audio/{tuning,checking}/KIND-LANGUAGE-PACKAGE.s16. Recordings alternate between the halves, file by
# file, so that none is in both. KIND is `speech` (a person's recording), `music` (music and sound effects) or `voice`
# (a text read by a speech synthesiser). Needs apt-get, dpkg, sox and flite. Some 2 GB and ten minutes.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 CACHE" >&2; exit 2; }
mkdir -p "$1/debs" "$1/root" "$1/audio/tuning" "$1/audio/checking"
cache=$(cd "$1" && pwd)

recordings=(
  asterisk-core-sounds-{en,es,fr,it,ru}-wav asterisk-prompt-es-co asterisk-prompt-fr-armelle asterisk-prompt-it-menardi-wav
  klettres-data ktuberling-data tuxpaint-stamps-default hedgewars-data pocketsphinx-testdata festvox-ru
  asterisk-moh-opsound-wav pingus-data wesnoth-1.16-music hyperrogue-music singularity-music
)
voices=(espeak-ng espeak-ng-data libespeak-ng1 libsonic0 libpcaudio0)
texts=(fortunes fortunes-{de,es,it,ru,pl,br,cs})

fetch() {
  for package in "${recordings[@]}" "${voices[@]}" "${texts[@]}"; do
    compgen -G "$cache/debs/${package}_*.deb" >/dev/null || (cd "$cache/debs" && apt-get download -qq "$package")
    [ -e "$cache/debs/$package.unpacked" ] && continue
    dpkg -x "$cache/debs/${package}"_*.deb "$cache/root"
    touch "$cache/debs/$package.unpacked"
  done
}

# KIND-LANGUAGE-PACKAGE of a file, by its place; nothing for one to leave out.
class_of() {
  local path=$1 part
  case $path in
    */silence/*) ;;
    */asterisk/moh/*) echo music-none-moh ;;
    */asterisk/sounds/*) part=${path#*/asterisk/sounds/}; echo "speech-${part:0:2}-asterisk" ;;
    */klettres/*/*/*) part=${path#*/klettres/}; echo "speech-${part:0:2}-klettres" ;;
    */ktuberling/sounds/*/*) part=${path#*/ktuberling/sounds/}; echo "speech-${part:0:2}-ktuberling" ;;
    */tuxpaint/*_desc.ogg) echo speech-en-tuxpaint ;;
    */tuxpaint/*_desc_*.ogg) part=${path##*_desc_}; echo "speech-${part:0:2}-tuxpaint" ;;
    */tuxpaint/*.ogg | */tuxpaint/*.wav) echo music-none-tuxpaint ;;
    */hedgewars/*/voices/*_*/*) part=${path#*/voices/*_}; echo "speech-${part:0:2}-hedgewars" ;;
    */hedgewars/*/voices/*) echo speech-en-hedgewars ;;
    */hedgewars/*) echo music-none-hedgewars ;;
    */msu_ru_nsh_clunits/*) echo speech-ru-festvox ;;
    */pocketsphinx/*) echo speech-en-pocketsphinx ;;
    */pingus/* | */wesnoth/* | */hyperrogue/* | */singularity/*)
      part=${path#*/games/}; part=${part#*/share/}; echo "music-none-${part%%/*}" ;;
  esac
}

# Appends a recording to its class, the halves in turn.
declare -A turn
append() {
  local file=$1 class=$2 half=tuning format=()
  turn[$class]=$(( ${turn[$class]:-0} + 1 ))
  if [ $(( ${turn[$class]} % 2 )) -eq 0 ]; then half=checking; fi
  if [ "${file##*.}" = raw ]; then format=(-t raw -r 16000 -e signed -b 16 -c 1); fi
  nice sox -V1 -D "${format[@]}" "$file" -t raw -e signed -b 16 -r 8000 -c 1 - pad 0 0.1 2>/dev/null \
    >>"$cache/audio/$half/$class.s16" || echo "left out: $file" >&2
}

convert() {
  [ ! -e "$cache/audio/recordings.done" ] || return 0
  rm -f "$cache"/audio/*/{speech,music}-*.s16
  while IFS= read -r file; do
    class=$(class_of "$file")
    if [ -n "$class" ]; then append "$file" "$class"; fi
  done < <(cd / && find "$cache/root" -type f \( -name '*.wav' -o -name '*.ogg' -o -name '*.gsm' -o -name '*.raw' \) | LC_ALL=C sort)
  touch "$cache/audio/recordings.done"
}

# Reads a text with a synthesiser, paragraph by paragraph, each with another pitch and speed.
read_aloud() {
  local language=$1 text=$2 bytes=$3 number=0 part
  rm -rf "$cache/text" && mkdir -p "$cache/text"
  head -c "$bytes" "$text" | tr '%\t' '\n ' | iconv -c -t utf-8 | split -C 2000 - "$cache/text/"
  for part in "$cache"/text/*; do
    number=$((number + 1))
    if [ "${language%%_*}" = flite ]; then
      nice flite -voice "${language#*_}" -f "$part" -o "$cache/voice.wav"
      append "$cache/voice.wav" "voice-en-$language"
    else
      LD_LIBRARY_PATH="$cache/root/usr/lib/$(uname -m)-linux-gnu" \
        nice "$cache/root/usr/bin/espeak-ng" --path="$cache/root/usr/lib/$(uname -m)-linux-gnu" -v "$language+$(( number % 2 ? number % 7 + 1 : 0 ))" \
        -p $(( 20 + number * 13 % 60 )) -s $(( 130 + number * 17 % 60 )) -f "$part" -w "$cache/voice.wav" 2>/dev/null || continue
      append "$cache/voice.wav" "voice-$language-espeak"
    fi
  done
}

synthesise() {
  [ ! -e "$cache/audio/voices.done" ] || return 0
  rm -f "$cache"/audio/*/voice-*.s16
  local fortunes=$cache/root/usr/share/games/fortunes language text
  for language in en de es it ru pl br cs; do
    text=$cache/text.$language
    case $language in
      en) cat "$fortunes"/{science,people,computers,wisdom} ;;
      br) cat "$fortunes"/br/* "$fortunes"/brasil 2>/dev/null ;;
      *) find "$fortunes" -path "*/$language*" -type f ! -name '*.dat' ! -name '*.u8' | LC_ALL=C sort | xargs -d '\n' cat ;;
    esac >"$text" || true
    if [ "$language" = br ]; then language=pt; fi
    read_aloud "$language" "$text" 40000
  done
  for language in flite_rms flite_slt flite_awb; do
    tail -c 60000 "$cache/text.en" >"$cache/text.$language"
    read_aloud "$language" "$cache/text.$language" 12000
  done
  touch "$cache/audio/voices.done"
}

fetch
convert
synthesise
for half in tuning checking; do
  for kind in speech music voice; do
    octets=$(cat "$cache/audio/$half/$kind"-*.s16 | wc -c)
    echo "$half $kind: $(( octets / 16000 / 60 )) minutes"
  done
done
