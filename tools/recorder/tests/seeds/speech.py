"""Routers that see frames of speech: one language decision that every layer uses (LR-MoE), a router that also reads a shared embedding
(SpeechMoE), and one bank of experts under a router of each depth (Conformers that share sparsely gated experts)."""
import random

from moetop_record import Recorder, Rule

from .common import WIDTH, basis, deal, near, plus, times


def language_routing(path, control=False):
    """LR-MoE: a linear layer for language identification, hooked; its first choice holds for layers 0 to 5. Texts change their language in
    the middle; each frame carries its own."""
    import torch

    from moetop_record import Logits, trace

    draw, prototypes = random.Random(9), basis(2)

    class Identification(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(WIDTH, 2, bias=False)
            self.linear.weight.data = torch.tensor(prototypes)

        def forward(self, frames):
            return self.linear(frames).argmax(-1)

    model, rule = Identification(), Rule(2, 1)
    with trace(model, path, routers=[Logits("linear", rule, path="route.0")], row="frame", record="full") as recorder, torch.no_grad():
        recorder.router("route.0", rule, holds_for=range(6), experts=["mandarin", "english"])
        for text in range(12):
            languages = ["mandarin"] * 20 + ["english"] * 20
            frames = [near(prototypes[language == "english"], draw) for language in languages]
            with recorder.rows(40, sequence=f"utterance {text}", row_labels={"language": deal(languages, control, text)},
                               coordinates={"seconds": [0.04 * at for at in range(40)]}):
                model(torch.tensor([frames]))


def speech_moe(path, control=False):
    """The router reads the layer's output and an embedding that all layers share, one behind the other; the best of four is taken."""
    draw, prototypes = random.Random(25), basis(4)
    languages = [at % 4 for at in range(24)]
    with Recorder(path, row="frame", record="full") as recorder:
        for text, (language, label) in enumerate(zip(languages, deal(languages, control))):
            with recorder.rows(20, sequence=f"utterance {text}", labels={"accent": f"accent{label}"}):
                for layer in range(3):
                    own = [near(prototypes[at % 4], draw) for at in range(20)]
                    shared = near(prototypes[language], draw, gain=8.0)
                    logits = [times([row + row for row in prototypes], frame + shared) for frame in own]
                    recorder.record(f"ffn.{layer}", logits=logits, rule=Rule(4, 1))


def shared_bank(path, control=False):
    """Four blocks, one bank of eight experts, a router in each: blocks 0 and 1 want experts 0 to 3, blocks 2 and 3 the others. In the control
    the blocks' routers stand in an order that a seed draws for each utterance."""
    draw, prototypes = random.Random(14), basis(8)
    with Recorder(path, row="frame", record="full") as recorder:
        for block in range(4):
            recorder.router(f"ffn.{block}", Rule(8, 2, normalization="sum"), bank="conformer")
        for text in range(12):
            order = deal(range(4), control, text)
            with recorder.rows(24, sequence=f"utterance {text}"):
                for block in range(4):
                    first = 0 if order[block] < 2 else 4
                    frames = [plus(near(prototypes[first + at % 4], draw), near(prototypes[first + (at + 1) % 4], draw, gain=3.0)) for at in range(24)]
                    recorder.record(f"ffn.{block}", logits=[times(prototypes, frame) for frame in frames])
