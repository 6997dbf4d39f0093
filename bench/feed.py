#!/usr/bin/env python3
"""Is page 50 of a feed as good as page 1? 500 items for each of 40 users, page by page.

    feed.py WINNOW MOVIELENS [LAMBDA] [--ranker]    MOVIELENS: a folder with movies.csv and ratings.csv

30% of the ratings are held out at random. A page's hits are the share of its items that its user has held out; its
diversity is 1 - the mean Jaccard of its items' genres. Markdown to stdout."""
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

USERS, PAGES, N, HELD = 40, 50, 10, 0.3
GROUPS = ((1, 1), (2, 5), (6, 10), (11, 20), (21, 30), (31, 40), (41, 49), (50, 50))


def make(winnow, movielens, folder, config):
    rng, held = random.Random(1), {}
    kept = os.path.join(folder, "ratings.csv")
    os.symlink(os.path.abspath(os.path.join(movielens, "movies.csv")), os.path.join(folder, "movies.csv"))
    with open(os.path.join(movielens, "ratings.csv")) as ratings, open(kept, "w") as out:
        out.write(next(ratings))
        for line in ratings:
            user, item = line.split(",")[:2]
            if rng.random() < HELD:
                held.setdefault(user, set()).add(item)
            else:
                out.write(line)
    data = os.path.join(folder, "data")
    subprocess.run([winnow, "import", "--data", data, "--format", "movielens", folder], check=True, stdout=sys.stderr)
    with open(os.path.join(data, "winnow.yaml"), "w") as out:
        out.write(config)
    subprocess.run([winnow, "train", "--data", data], check=True, stdout=sys.stderr, stderr=subprocess.DEVNULL)
    return data, held


def diversity(genres):
    pairs = [(a, b) for i, a in enumerate(genres) for b in genres[:i]]
    return 1 - sum(len(a & b) / (len(a | b) or 1) for a, b in pairs) / len(pairs)


def walk(address, users, held, genres):
    """[(hits, diversity)] of each page, means over users; repeats; short pages."""
    hits, diverse, repeats, short = [0.0] * PAGES, [0.0] * PAGES, 0, 0
    for user in users:
        seen = set()
        for page in range(PAGES):
            query = urllib.parse.urlencode({"user": user, "n": N})
            with urllib.request.urlopen("%s/v1/surfaces/feed/slate?%s" % (address, query)) as answer:
                items = [item["id"] for item in json.load(answer)["items"]]
            repeats += len(seen & set(items))
            short += len(items) < N
            seen.update(items)
            hits[page] += len(held[user] & set(items)) / N / len(users)
            diverse[page] += diversity([genres[item] for item in items]) / len(users)
    return hits, diverse, repeats, short


def main():
    options = [word for word in sys.argv[1:] if word.startswith("--")]
    winnow, movielens, *rest = [word for word in sys.argv[1:] if not word.startswith("--")]
    config = "surfaces: {feed: {order: {diversity: {lambda: %s, by: als}}}}\n" % (rest[0] if rest else "0.85")
    config += "models: {ranker: {}}\n" if "--ranker" in options else ""
    with open(os.path.join(movielens, "movies.csv")) as movies:
        genres = {row["movieId"]: set(row["genres"].split("|")) for row in csv.DictReader(movies)}
    with tempfile.TemporaryDirectory() as folder:
        data, held = make(winnow, movielens, folder, config)
        users = [user for user in sorted(held, key=int) if len(held[user]) >= 30][:USERS]
        server = subprocess.Popen([winnow, "serve", "--data", data, "--port", "0"], stdout=subprocess.PIPE, text=True)
        try:
            address = next(word for word in server.stdout.readline().split() if word.startswith("http"))
            hits, diverse, repeats, short = walk(address.rstrip("/"), users, held, genres)
        finally:
            server.terminate()
            server.wait()
    print("%d users, %d pages of %d: %d repeats, %d short pages\n" % (len(users), PAGES, N, repeats, short))
    print("| pages | hits | diversity |\n| --- | --- | --- |")
    for first, last in GROUPS:
        mean = [sum(values[first - 1:last]) / (last - first + 1) for values in (hits, diverse)]
        print("| %s | %.3f | %.3f |" % (first if first == last else "%d–%d" % (first, last), *mean))


if __name__ == "__main__":
    main()
