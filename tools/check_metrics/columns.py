"""The recorded statistics of decisions, which the metrics are folds of, against the recorded logits."""
import numpy as np

# Statistics are recorded in f32 from f32 logits.
COLUMN_TOLERANCE = 1e-5


def check(run, tally):
    for router in run.routers:
        p = router.probabilities()
        if p is None:
            tally.skip("recorded statistics of routers without recorded logits", 4 * len(router.tokens))
            continue
        known = np.isfinite(p).all(axis=1) & router.decided
        ranked = np.sort(p, axis=1)[:, ::-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = np.where(p > 0, -p * np.log(p), 0).sum(axis=1)
        mass = np.where(router.chosen, np.take_along_axis(p, np.maximum(router.ids, 0), axis=1), 0).sum(axis=1)
        expected = {"entropy": (router.entropy, entropy), "top_k_mass": (router.mass, mass)}
        if router.experts > 1:
            expected["top1_margin"] = (router.top1, ranked[:, 0] - ranked[:, 1])
        scores = {"probability": ranked, "logit": np.sort(router.logits, axis=1)[:, ::-1]}.get(router.unit)
        if scores is None or router.spec.get("groupLimit") or router.k == router.experts:
            tally.skip(f"selection margins by {router.unit}: `moetop verify` knows them", int(known.sum()))
        else:
            expected["selection_margin"] = (router.margin, scores[:, router.k - 1] - scores[:, router.k])
        for name, (got, own) in expected.items():
            got, own = got[known].astype(np.float64), own[known]
            differ = np.abs(got - own) > COLUMN_TOLERANCE * np.maximum(1, np.abs(own))
            tally.numbers += len(own)
            tally.largest = max(tally.largest, float((np.abs(got - own) / np.maximum(1, np.abs(own))).max(initial=0)))
            if differ.any():
                row = int(np.nonzero(differ)[0][0])
                tally.faults.append(f"{router.name} {name}: {int(differ.sum())} rows, the first {got[row]}, expected {own[row]}")
