#!/bin/sh
# Every number of `analyze`, on texts, on routers of every kind, on images: everything.sh PROGRAM FOLDER, from the root of the project.
# FOLDER takes traces. MOETOP_SHARED names further tiny models (folders with config.json and input.json), else those of Tests/Fixtures are used.
set -eu
[ $# = 2 ] || { sed -n 2,3p "$0"; exit 64; }
program=$1 folder=$2 worst=0
models=${MOETOP_SHARED:-Tests/Fixtures/models}
mkdir -p "$folder"

check() {
  echo "== $*"
  python3 tools/check_metrics.py --moetop "$program" "$@" || worst=$?
}
record() {
  trace=$folder/$1.db
  shift
  rm -f "$trace"
  "$program" run "$@" --trace "$trace" --no-progress -q
}

python3 tools/check_metrics/texts.py "$folder"
for set in uneven one repeats; do
  record $set samples/olmoe-tiny -f "$folder/$set.jsonl" --record full
  check "$folder/$set.db"
done
check --by layer --by kind --threshold 0.9 --as gw-moe --null 1000 "$folder/uneven.db"
check --by layer --by batch --by token --threshold 1.6nat --filter 'layer=1-4 position<64 !bos kind=code,tale' --null 1000 "$folder/uneven.db"
check --by position --by topic --filter 'entropy>q0.5 rank=0 !expert=5' --layer 0-2 --null 1000 "$folder/repeats.db"

for model in mixtral deepseek_v3 gpt_oss phimoe switch_transformers qwen2_moe llama4_text jetmoe; do
  [ -f "$models/$model/input.json" ] || { echo "== $model: not in $models"; continue; }
  record $model "$models/$model" --tokens "$models/$model/input.json" --record full
  check "$folder/$model.db"
done

record corpus samples/olmoe-tiny -f samples/corpus.jsonl --record full
check "$folder/corpus.db"
record images samples/dit-moe-tiny --images 70 --steps 10 --cfg 1.5 --seed 1 --record full
check --null 2000 "$folder/images.db"
check --null 1000 --branch 1 --by layer --by patch "$folder/images.db"
record unguided samples/dit-moe-tiny --class star --class ring --images 8 --steps 6 --cfg 1 --record full
check --null 1000 "$folder/unguided.db"
exit $worst
