"""Train the byte-level BPE tokenizer on the training documents and write it as a folder AutoTokenizer reads.

usage: train_tokenizer.py DATA OUT [--vocab 8192]

Single digits, words with their leading space, runs of punctuation and runs of white space are the pre-tokens (the
pattern is Qwen2's). A post-processor puts BOS before every text. Every domain gives the same number of bytes, so that
none of them owns the vocabulary.
"""
import argparse
import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BOS, EOS, PAD = "<|bos|>", "<|endoftext|>", "<|pad|>"
BYTES_PER_DOMAIN = 2_500_000


def texts(folder):
    """Documents of every domain up to the same number of bytes; small domains go round again."""
    for path in sorted(folder.glob("*.jsonl")):
        rows = [json.loads(line)["text"] for line in open(path)]
        size, i = 0, 0
        share = BYTES_PER_DOMAIN // 4 if path.stem in ("json", "arithmetic") else BYTES_PER_DOMAIN
        while size < share:
            yield rows[i % len(rows)]
            size += len(rows[i % len(rows)].encode())
            i += 1


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("data", type=Path)
    ap.add_argument("out", type=Path)
    ap.add_argument("--vocab", type=int, default=8192)
    args = ap.parse_args()
    special = [AddedToken(t, special=True, normalized=False) for t in (BOS, EOS, PAD)]
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERN), "isolated"),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=args.vocab, special_tokens=special, max_token_length=24, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.train_from_iterator(texts(args.data / "train"), trainer)
    tok.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B",
                                                       special_tokens=[(BOS, tok.token_to_id(BOS))])
    args.out.mkdir(parents=True, exist_ok=True)
    tok.save(str(args.out / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, "pad_token": PAD,
              "model_max_length": 2048, "clean_up_tokenization_spaces": False}
    (args.out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    for path in sorted((args.data / "heldout").glob("*.jsonl")):
        rows = [json.loads(line)["text"] for line in open(path)]
        ids = [len(tok.encode(t, add_special_tokens=False).ids) for t in rows]
        print(f"{path.stem}: {sum(len(t.encode()) for t in rows) / sum(ids):.2f} bytes a token, "
              f"{sum(ids) / len(ids):.0f} tokens a document, {sum(n > 512 for n in ids)} of {len(ids)} over 512")


if __name__ == "__main__":
    main()
