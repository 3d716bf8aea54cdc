// What the reference says about specialization: how its numbers are found, and what a simulation says they are worth.

extension SpecializationMeasure {
  static let details = """
    **Effect.** The jackknife-centred mutual information I - (S - 1) (mean over sequences of I without that sequence - I), I the plug-in
    value, S the number of sequences (along steps and patches, of groups of samples). It is 0 within its spread when the axis says nothing.
    The plug-in value (`mutual_information`) grows with the number of cells and experts and is only read beside its null. Subtracting the
    mean of the null would take part of the effect away where texts are few, because permuted labels share in the spread that the real ones
    cause. With fewer than 5 texts to a label value (or along an axis inside texts) effects are shown, marked `few_texts`, and not to be ranked.

    **Interval.** Delete-one-sequence jackknife around the effect; along a label with the t quantile of the mean number of texts a value, less
    one, because with few texts and many experts some bias is left. That number need not be whole: 2.5 texts a value give 1.5 degrees of freedom. Below
    2 texts a value on average, and below 5 texts, there is no interval.

    **Normalized.** `normalized` is effect / H(cell), H(cell) the entropy of the axis' cells over the choices (`cell_entropy`). Information cannot
    exceed ln E, so where ln E is less than H(cell), as with more values than experts, complete specialization reaches ln E / H(cell) and not 1. With few
    texts the effect, and `normalized` with it, may lie above these ends by chance.

    **p.** (1 + b) / (1 + N) over N draws of the null. `adjusted_p` is the same for the layer that stands furthest above its null, each layer in
    spreads of its own null: it controls the chance of even one false find among the layers of the table.

    **Places.** The null of `position` shifts each text, so that the join of its end with its beginning lies at the border of two cells, half of the
    texts backwards.

    **Lengths.** Where texts differ in length, `matched` is the same with every text cut to the longest stretch (a power of two) that all texts of 16
    tokens or more have; shorter ones are left out of it (`left_out`).

    **Values.** A label has a cell for each of its 1000 most frequent values; the rest share one.

    Simulated (`tools/simulate_specialization.py`, 400 runs a cell): texts of 30 to 300 tokens, two experts a token, a text's own mixture of experts
    about that of its label, an expert's share varying from text to text by half of its mean or by all of it. With a true effect: bias with
    the mean of the null subtracted → bias of the effect, and how often the interval holds the truth. Without: mean ± spread of the effect,
    how often the interval holds 0, and how often p is at most .05 (standard error .01).

    | labels | experts | shares vary by | true effect | 5 texts a label | 10 | 32 |
    |---|---|---|---|---|---|---|
    | 2 | 16 | half | 0 | +0.0009 ± 0.0087, 99 %; p ≤ .05 in 0.035 | +0.0007 ± 0.0043, 99 %; p ≤ .05 in 0.072 | -0.0001 ± 0.0011, 100 %; p ≤ .05 in 0.033 |
    | 2 | 16 | half | 0.0074 | −19 % → +38 %, 98 % | −7 % → +14 %, 96 % | −1 % → +4 %, 95 % |
    | 2 | 16 | half | 0.1329 | −18 % → +11 %, 98 % | −8 % → +5 %, 95 % | −3 % → +1 %, 95 % |
    | 6 | 16 | half | 0 | +0.0027 ± 0.0056, 100 %; p ≤ .05 in 0.045 | +0.0007 ± 0.0029, 100 %; p ≤ .05 in 0.045 | +0.0001 ± 0.0009, 98 %; p ≤ .05 in 0.052 |
    | 6 | 16 | half | 0.0136 | −25 % → +24 %, 99 % | −12 % → +7 %, 99 % | −3 % → +1 %, 97 % |
    | 6 | 16 | half | 0.1889 | −24 % → +5 %, 99 % | −12 % → +2 %, 98 % | −4 % → +1 %, 100 % |
    | 6 | 16 | all | 0 | +0.0145 ± 0.0176, 100 %; p ≤ .05 in 0.015 | +0.0048 ± 0.0097, 99 %; p ≤ .05 in 0.060 | +0.0004 ± 0.0026, 100 %; p ≤ .05 in 0.037 |
    | 6 | 16 | all | 0.0197 | −25 % → +82 %, 99 % | −12 % → +25 %, 98 % | −4 % → +3 %, 97 % |
    | 6 | 16 | all | 0.2988 | −26 % → +9 %, 98 % | −12 % → +4 %, 96 % | −4 % → +1 %, 98 % |
    | 2 | 64 | half | 0 | +0.0015 ± 0.0078, 100 %; p ≤ .05 in 0.048 | +0.0006 ± 0.0033, 99 %; p ≤ .05 in 0.050 | +0.0000 ± 0.0009, 99 %; p ≤ .05 in 0.065 |
    | 2 | 64 | half | 0.0067 | −15 % → +33 %, 99 % | −13 % → +6 %, 99 % | −4 % → +1 %, 97 % |
    | 2 | 64 | half | 0.1028 | −18 % → +11 %, 98 % | −9 % → +5 %, 95 % | −3 % → +1 %, 96 % |
    | 6 | 64 | half | 0 | +0.0019 ± 0.0048, 100 %; p ≤ .05 in 0.050 | +0.0006 ± 0.0022, 99 %; p ≤ .05 in 0.052 | +0.0000 ± 0.0007, 100 %; p ≤ .05 in 0.058 |
    | 6 | 64 | half | 0.0169 | −24 % → +14 %, 100 % | −13 % → +5 %, 98 % | −4 % → +1 %, 98 % |
    | 6 | 64 | half | 0.2501 | −25 % → +5 %, 98 % | −13 % → +2 %, 97 % | −4 % → +1 %, 97 % |
    | 6 | 64 | all | 0 | +0.0167 ± 0.0125, 97 %; p ≤ .05 in 0.070 | +0.0045 ± 0.0059, 98 %; p ≤ .05 in 0.045 | +0.0005 ± 0.0017, 99 %; p ≤ .05 in 0.048 |
    | 6 | 64 | all | 0.0173 | −24 % → +101 %, 97 % | −12 % → +29 %, 98 % | −4 % → +3 %, 98 % |
    | 6 | 64 | all | 0.2624 | −27 % → +11 %, 97 % | −14 % → +4 %, 96 % | −4 % → +1 %, 96 % |

    Position, routing that stays with an expert and no place that matters (1,000 runs): how often p is at most .05 with plain circular shifts, and with
    the shifts used.

    | texts | tokens | experts | stays for | plain shifts | joined at borders |
    |---|---|---|---|---|---|
    | 20 | 64 | 8 | 10 tokens | 0.112 | 0.055 |
    | 20 | 50 to 90 | 8 | 10 tokens | 0.107 | 0.057 |
    | 20 | 64 | 8 | 1 tokens | 0.044 | 0.047 |
    | 10 | 30 to 90 | 16 | 10 tokens | 0.174 | 0.060 |
    | 5 | 64 | 8 | 10 tokens | 0.142 | 0.051 |
    | 40 | 200 to 300 | 16 | 20 tokens | 0.099 | 0.051 |
    """
}
