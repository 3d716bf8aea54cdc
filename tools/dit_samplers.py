"""The two ways from noise to image: DDPM (Ho et al. 2020, with the learned variance of Nichol and Dhariwal 2021 and steps left out) and rectified
flow (Liu et al. 2023), each with classifier-free guidance.

A sampler is given `answer(latent, t)`, which runs the model and returns its outputs [samples, 2 * channels, size, size], one per branch of guidance
(the conditional first, the unconditional second or absent), and yields the latent after every step. Schedules are computed in float64 and rounded
to float32 before they meet the latent, as in the published code."""

import math

import torch

TRAINED_STEPS = 1000


def noise_schedule(name, steps=TRAINED_STEPS):
    """The variance added at each of the training steps, [steps] float64."""
    if name == "linear":
        return torch.linspace(1e-4 * 1000 / steps, 0.02 * 1000 / steps, steps, dtype=torch.float64)
    kept = [math.cos((i / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(steps + 1)]
    return torch.tensor([min(1 - kept[i + 1] / kept[i], 0.999) for i in range(steps)], dtype=torch.float64)


def spaced(count, steps=TRAINED_STEPS):
    """`count` of the training steps, ascending, evenly from the first to the last; halves round to the even step."""
    stride = (steps - 1) / (count - 1) if count > 1 else 1
    places, place = [], 0.0
    for _ in range(count):
        places.append(round(place))
        place += stride
    return places


class Ddpm:
    """Coefficients of a DDPM run over `count` of the trained steps, index 0 the cleanest."""

    def __init__(self, count, schedule="linear"):
        self.timesteps = spaced(count)
        kept = torch.cumprod(1 - noise_schedule(schedule), 0)[self.timesteps]
        before = torch.cat([torch.ones(1, dtype=torch.float64), kept[:-1]])
        beta = 1 - kept / before
        variance = beta * (1 - before) / (1 - kept)
        # The cleanest step has no posterior variance; its logarithm is taken from the next.
        lowest = torch.cat([variance[1:2] if count > 1 else variance[:1], variance[1:]]).log()
        self.clean_of_latent, self.clean_of_noise = (1 / kept).sqrt().float(), (1 / kept - 1).sqrt().float()
        self.mean_of_clean = (beta * before.sqrt() / (1 - kept)).float()
        self.mean_of_latent = ((1 - before) * (1 - beta).sqrt() / (1 - kept)).float()
        self.lowest, self.highest = lowest.float(), beta.log().float()

    def step(self, index, latent, output, noise):
        """The latent one step cleaner; `output` holds the predicted noise and, behind it, where the variance lies between its bounds (-1...1)."""
        predicted, between = output.chunk(2, 1)
        clean = self.clean_of_latent[index] * latent - self.clean_of_noise[index] * predicted
        mean = self.mean_of_clean[index] * clean + self.mean_of_latent[index] * latent
        if index == 0:
            return mean
        share = (between + 1) / 2
        spread = share * self.highest[index] + (1 - share) * self.lowest[index]
        return mean + (0.5 * spread).exp() * noise


def guided(outputs, scale, channels):
    """Guidance on the first `channels` channels; the others are the conditional branch's."""
    if len(outputs) == 1:
        return outputs[0]
    with_class, without = (output[:, :channels] for output in outputs)
    return torch.cat([without + scale * (with_class - without), outputs[0][:, channels:]], 1)


def ddpm(answer, initial, noise, count, scale, channels, schedule="linear"):
    """Yields (t, latent after the step) from the noisiest to the cleanest; noise [count, samples, channels, size, size] in that order."""
    run, latent = Ddpm(count, schedule), initial
    for step, index in enumerate(reversed(range(count))):
        t = float(run.timesteps[index])
        latent = run.step(index, latent, guided(answer(latent, t), scale, channels), noise[step])
        yield t, latent


def rectified_flow(answer, initial, count, scale):
    """Yields (t, latent after the step), t = 1, 1 - 1/count, ..., 1/count. The velocity is the first half of the output, all of it guided."""
    latent, width = initial, torch.tensor(1 / count)
    for step in range(count):
        t = (count - step) / count
        latent = latent - width * guided([output.chunk(2, 1)[0] for output in answer(latent, t)], scale, initial.shape[1])
        yield t, latent
