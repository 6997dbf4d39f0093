"""Vectors of items from the command line: imported ones, and static embeddings beside a second implementation
of them in Python."""
import json
import math
import os
import pathlib
import random
import struct
import subprocess
import tempfile
import unicodedata
import unittest

WINNOW = os.environ["WINNOW"]


def winnow(*args, code=0):
    done = subprocess.run([WINNOW, *map(str, args)], capture_output=True, text=True, timeout=120)
    if done.returncode != code:
        raise AssertionError(f"winnow {' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def write_npy(path, rows, half=False):
    code, size = ("<f2", "e") if half else ("<f4", "f")
    head = f"{{'descr': '{code}', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    numbers = b"".join(struct.pack(f"<{len(row)}{size}", *row) for row in rows)
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + numbers)


def cosine(a, b):
    norm = math.sqrt(sum(x * x for x in a) * sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b)) / norm if norm > 0 else None


class Embeddings:
    """WordPiece and the mean, straight from BERT's description."""

    def __init__(self, seed):
        rng = random.Random(seed)
        words = ["[PAD]", "[UNK]", "lamp", "read", "##ing", "the", "un", "##believ", "##able", "cafe", "naive", "東", "ᄀ",
                 "##ᅡ", "##ᆨ", ",", "!", *"abcdefghijklmnopqrstuvwxyz", *("##" + c for c in "abcdefghijklmnopqrstuvwxyz")]
        self.vocab = {word: n for n, word in enumerate(words)}
        self.rows = [[rng.uniform(-1, 1) for _ in range(16)] for _ in words]

    def save(self, folder):
        folder.mkdir()
        tokenizer = {"normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                                    "strip_accents": None, "lowercase": True},
                     "pre_tokenizer": {"type": "BertPreTokenizer"},
                     "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                               "max_input_chars_per_word": 100, "vocab": self.vocab}}
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        numbers = b"".join(struct.pack("<16f", *row) for row in self.rows)
        head = json.dumps({"embeddings": {"dtype": "F32", "shape": [len(self.rows), 16],
                                          "data_offsets": [0, len(numbers)]}}).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + numbers)

    @staticmethod
    def words(text):
        text = "".join(f" {c} " if 0x4E00 <= ord(c) <= 0x9FFF else c for c in text)
        text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn").lower()
        for c in text:
            if unicodedata.category(c)[0] == "P":
                text = text.replace(c, f" {c} ")
        return text.split()

    def tokens(self, word):
        out, at = [], 0
        while at < len(word):
            for end in range(len(word), at, -1):
                token = ("##" if at else "") + word[at:end]
                if token in self.vocab:
                    break
            else:
                return []
            out.append(token)
            at = end
        return out

    def encode(self, text):
        rows = [self.rows[self.vocab[token]] for word in self.words(text) for token in self.tokens(word)]
        return [sum(column) / len(rows) for column in zip(*rows)] if rows else [0] * 16


class Vectors(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name)
        self.data = self.folder / "data"
        self.config = "surfaces: {like: {flavour: flat, n: 1000, retrieve: [{model: vectors, quota: 1000}], score: {normalise: none}}}\n"

    def put(self, items):
        path = self.folder / "items.jsonl"
        path.write_text("".join(json.dumps(item) + "\n" for item in items))
        winnow("import", "--data", self.data, "--kind", "items", path)

    def like(self, item):
        slate = json.loads(winnow("recommend", "--data", self.data, "--surface", "like", "--item", item, "--json").stdout)
        return {row["id"]: row["score"] for row in slate["items"] if "vectors" in row["sources"]}

    def assert_cosines(self, vectors, asked):
        got = self.like(asked)
        want = {item: cosine(vectors[asked], x) for item, x in vectors.items() if item != asked}
        want = {item: score for item, score in want.items() if score is not None}
        self.assertEqual(set(got), set(want))
        for item, score in want.items():
            self.assertAlmostEqual(got[item], max(score, 0), delta=2e-3)  # the funnel knows no score below 0

    def test_imported(self):
        rng = random.Random(3)
        vectors = {f"i{n}": [rng.uniform(-1, 1) for _ in range(8)] for n in range(40)}
        self.put({"id": item, "title": item} for item in vectors)
        (self.data / "winnow.yaml").write_text(self.config)
        npy, ids = self.folder / "v.npy", self.folder / "v.ids"
        for half in (False, True):  # the second import replaces the first
            vectors = {item: [x + rng.uniform(-1, 1) for x in row] for item, row in vectors.items()}
            write_npy(npy, [*vectors.values(), [1] * 8], half)
            ids.write_text("".join(f"{item}\n" for item in [*vectors, "unknown"]))
            done = json.loads(winnow("import", "--data", self.data, "--vectors", npy, "--ids", ids, "--json").stdout)
            self.assertEqual(done, {"vectors": 41, "zero": 0, "dimensions": 8})
            winnow("train", "--data", self.data)
            self.assert_cosines(vectors, "i7")
        evaluated = winnow("import", "--data", self.data, "--vectors", npy, code=2)
        self.assertIn("--ids", evaluated.stderr)
        write_npy(npy, [[1, float("nan")], [0, 1]])
        ids.write_text("i0\ni1\n")
        done = winnow("import", "--data", self.data, "--vectors", npy, "--ids", ids, code=3)
        self.assertIn("row 0", done.stderr)
        winnow("train", "--data", self.data)
        self.assert_cosines(vectors, "i7")

    def test_model2vec(self):
        embeddings = Embeddings(1)
        embeddings.save(self.folder / "tiny")
        titles = ["The reading lamp!", "Unbelievable, the lamp", "Café naïve", "CAFÉ, naiv", "東東 lamp", "각각 read", "Ünbeliev",
                  "zebra", "☃", "lamp lamp lamp read"]
        items = [{"id": f"t{n}", "title": title, "text": "the " * (n % 3)} for n, title in enumerate(titles)]
        vectors = {item["id"]: embeddings.encode(item["title"] + " " + item["text"]) for item in items}
        self.put(items[:7])
        (self.data / "winnow.yaml").write_text(self.config + "vectors: {model2vec: ../tiny}\n")
        winnow("train", "--data", self.data)
        self.assert_cosines({item: vectors[item] for item in list(vectors)[:7]}, "t0")
        for file in (self.folder / "tiny").iterdir():  # the snapshot has what it needs
            file.unlink()
        self.put(items[7:])
        for item in ("t0", "t4", "t9"):
            self.assert_cosines(vectors, item)
        done = winnow("train", "--data", self.data, code=4)
        self.assertIn("tokenizer.json", done.stderr)


if __name__ == "__main__":
    unittest.main()
