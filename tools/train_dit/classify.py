"""How often is a generated image what it was meant to be? A small convolutional classifier, trained on drawn images, looks at generated ones.

    moetop run samples/dit-moe-tiny --images 1200 --no-trace -o images.safetensors
    python tools/train_dit/classify.py images.safetensors

The classifier never sees a generated image before it judges them. Its accuracy on drawn images that it has not seen stands beside the result, with
a 95 % interval (Wilson) and every class by itself: a model that draws one class badly should not hide among eleven good ones."""

import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from train_dit import draw  # noqa: E402


def network(classes):
    def stage(before, after):
        return [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]

    return nn.Sequential(*stage(3, 32), *stage(32, 64), *stage(64, 96), nn.Flatten(), nn.Dropout(0.2), nn.Linear(96 * 16, classes))


def train(steps=1500, batch=128):
    torch.manual_seed(5)
    pixels, labels = draw.dataset(40000, seed=1001)
    pixels, labels = torch.from_numpy(pixels).float() / 127.5 - 1, torch.from_numpy(labels)
    model = network(len(draw.CLASSES)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(len(labels), (batch,))
        images = pixels[chosen] + 0.05 * torch.randn(batch, 3, draw.SIZE, draw.SIZE)
        loss = F.cross_entropy(model(images), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def judge(model, images, labels):
    guesses = torch.cat([model(part).argmax(1) for part in images.split(256)])
    return guesses == labels, guesses


def wilson(hits, count, z=1.96):
    share, spread = hits / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * (share * (1 - share) / count + spread / (4 * count)) ** 0.5
    return middle - half, middle + half


def main(path):
    torch.set_num_threads(2)
    model = train()
    pixels, labels = draw.dataset(4000, seed=2002)
    real, _ = judge(model, torch.from_numpy(pixels).float() / 127.5 - 1, torch.from_numpy(labels))
    tensors = load_file(path)
    labels = tensors["class"].long()
    good, guesses = judge(model, tensors["latent"].clamp(-1, 1), labels)
    low, high = wilson(good.sum().item(), len(good))
    print(f"drawn images, unseen: {100 * real.float().mean():.1f} % of {len(real)}")
    print(f"generated images:     {100 * good.float().mean():.1f} % of {len(good)}, 95 % interval {100 * low:.1f} to {100 * high:.1f} %")
    for index, name in enumerate(draw.CLASSES):
        mine = labels == index
        if mine.any():
            wrong = guesses[mine & ~good].bincount(minlength=len(draw.CLASSES))
            most = f", most often taken for {draw.CLASSES[wrong.argmax()]}" if wrong.sum() else ""
            print(f"  {name:20} {100 * good[mine].float().mean():5.1f} % of {mine.sum().item()}{most}")
    print(json.dumps(dict(accuracy=good.float().mean().item(), images=len(good), interval=[low, high], drawn=real.float().mean().item())))


if __name__ == "__main__":
    main(sys.argv[1])
