"""The answer to an evaluation in plain sentences: what, how sure, against what, and for whom."""

_SCORE_NAMES = {
    "roc_auc": "ROC AUC",
    "balanced_accuracy": "balanced accuracy",
    "r": "Pearson r",
    "mae": "mean absolute error",
    "r2": "R²",
}
#: Of the few-shot curves, what a sentence tells.
_TOLD_SHOTS = (5, 10, 25)
_MODALITY = {"eeg": "EEG", "bold": "fMRI"}


def score_name(key):
    """Spell a score for people."""
    return _SCORE_NAMES.get(key, key)


def summarise_evaluation(evaluation):
    """Write the answer.

    Parameters
    ----------
    evaluation : dict
        As ``evaluation.json`` holds it, without ``answer``.

    Returns
    -------
    answer : dict of str
        ``headline`` (score and interval), ``against`` (the best baseline), ``few`` (with few
        people to learn from), ``sure`` (permutation), ``without`` (confounds), ``scope`` (whom it
        is about) and ``caution``; each only where there is something to say.
    """
    lead = _lead(evaluation)
    answer = {
        "headline": _headline(evaluation, lead),
        "against": _against(evaluation),
        "few": _few(evaluation),
        "sure": _sure(evaluation, lead),
        "without": _without(evaluation),
        "scope": _scope(evaluation),
        "caution": _caution(evaluation),
    }
    return {key: sentence for key, sentence in answer.items() if sentence}


def _lead(evaluation):
    """The pretrained method; where there is none, the best baseline with its corrected p."""
    comparison = evaluation["comparison"]
    wanted = comparison.get("method", comparison["best_baseline"])
    lead = next(method for method in evaluation["methods"] if method["name"] == wanted)
    return {**lead, "p": comparison.get("p_best_of_several", lead["p"])}


def _headline(evaluation, lead):
    primary, value = evaluation["primary"], lead["scores"][evaluation["primary"]]
    can = "can" if _is_above_chance(evaluation, lead) else "could not"
    if lead["p"] is not None and lead["p"] >= 0.05 and evaluation["n_arrangements"] <= 20:
        can = "may or may not"  # no score could have a small p
    chance = "0.50" if primary == "roc_auc" else "0"
    return (
        f"{_claim(evaluation['question'], can)} with {lead['name']}: {score_name(primary)} "
        f"{value['value']:.2f} (95 % interval {value['low']:.2f} to {value['high']:.2f}; "
        f"{chance} is chance)."
    )


def _claim(question, can):
    signal, classes = _MODALITY[question["modality"]], question["classes"]
    if question["kind"] == "contrast":
        names = question["name"].split(" against ")
        return f"{', '.join(names[:-1])} and {names[-1]} {can} be told apart in {signal}"
    if classes:
        return f"{question['name']} ({', '.join(classes)}) {can} be read from {signal}"
    return f"{question['name']} {can} be predicted from {signal}"


def spell_p(p):
    """Spell a probability: three digits, never 0."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1g}"


def _is_above_chance(evaluation, lead):
    chance = 0.5 if evaluation["primary"] == "roc_auc" else 0.0
    low = lead["scores"][evaluation["primary"]]["low"]
    by_luck = lead["p"] is not None and lead["p"] >= 0.05
    return not by_luck and low is not None and low > chance


def _against(evaluation):
    comparison = evaluation["comparison"]
    if "method" not in comparison:
        return f"No pretrained model took part; the best baseline is {comparison['best_baseline']}."
    low, high = comparison["low"], comparison["high"]
    if low is not None and low > 0:
        verdict = "better than"
    elif high is not None and high < 0:
        verdict = "worse than"
    else:
        verdict = "not distinguishable from"
    best = next(m for m in evaluation["methods"] if m["name"] == comparison["best_baseline"])
    score = best["scores"][evaluation["primary"]]
    return (
        f"That is {verdict} the best baseline on the same folds, {best['name']}, with "
        f"{score['value']:.2f} ({score['low']:.2f} to {score['high']:.2f}): difference "
        f"{_signed(comparison['difference'])} (95 % interval {_signed(low)} to {_signed(high)}"
        f"{_by_folds(comparison['t_test'])})."
    )


def _by_folds(test):
    """Corrected t test over folds, where there is one."""
    return f"; corrected t test over folds: p = {spell_p(test['p'])}" if test else ""


def _signed(value):
    spelled = f"{value:+.2f}"
    return "0.00" if spelled in ("+0.00", "-0.00") else spelled.replace("-", "−")


def _few(evaluation):
    """Learning from few people, against the best baseline there."""
    whose = "class" if evaluation["question"]["classes"] else "half of the values"
    told = [
        f"{row['k']} of each {whose} {row['score']:.2f}, {_signed(row['difference'])} "
        f"({_signed(row['low'])} to {_signed(row['high'])}) against {row['against']}"
        for row in evaluation["few_shot"]
        if row["k"] in _TOLD_SHOTS
    ]
    if not told:
        return None
    return (
        f"Learning from few people: {'; '.join(told)} (means over draws of whom to learn from, "
        "with 95 % intervals over the draws)."
    )


def _sure(evaluation, lead):
    count = evaluation["n_permutations"]
    if lead["p"] is None or not count:
        return None
    text = (
        f"With exchanged labels a score as high came up with probability p = {spell_p(lead['p'])}"
    )
    possible = evaluation["n_arrangements"]
    text += f" ({count} permutations"
    if possible < 1000:
        text += (
            f"; the labels can be arranged in only {possible} ways, so p cannot fall below "
            f"{1 / possible:.2g}"
        )
    return text + ")."


def _without(evaluation):
    """What is left when all audited columns are regressed out."""
    if not evaluation["audit"]:
        return None
    left = evaluation["audit"][-1]["without"]
    names = [row["column"].replace("_", " ") for row in evaluation["audit"]]
    names = names[:-1] if len(names) > 1 else names
    return (
        f"With {', '.join(names)} regressed out of {evaluation['methods'][0]['name']} inside the "
        f"folds it is {left['value']:.2f} ({left['low']:.2f} to {left['high']:.2f})."
        + _covariates_alone(evaluation)
    )


def _covariates_alone(evaluation):
    """What is known without any signal, and that it is enough where it is."""
    for method in evaluation["methods"]:
        if method["kind"] == "covariates":
            alone = method["scores"][evaluation["primary"]]
            lead = _lead(evaluation)
            told = f" Alone, without any signal, they give {alone['value']:.2f}"
            if alone["value"] >= lead["scores"][evaluation["primary"]]["value"]:
                return f"{told}, no less than {lead['name']}: the score may rest on them."
            return f"{told} ({alone['low']:.2f} to {alone['high']:.2f})."
    return ""


def _scope(evaluation):
    data, folds = evaluation["data"], evaluation["folds"]
    people = data["n_participants"]
    if folds["kind"] == "site":
        return (
            f"Estimated for people of a {folds['groups']} never seen: {people} participants, each "
            f"of {folds['n_splits']} values of {folds['groups']} left out in turn; people are "
            "compared within one of them only."
        )
    if folds["kind"] == "participant":
        return (
            f"Estimated for new people: {people} participants, nobody in training and test of "
            f"one fold ({folds['n_splits']} folds{_repeated(folds['n_repeats'])})."
        )
    who = "one participant" if people == 1 else f"{people} participants"
    cut = (
        f"Within {who}; this says nothing about new people. {data['n_recordings']} recordings "
        f"were cut into {data['n_rows']} windows of {folds['window_s']:g} s; "
    )
    if folds["kind"] == "recording":
        return f"{cut}whole recordings were left out ({folds['n_splits']} folds)."
    return f"{cut}training windows closer than {folds['gap_s']:g} s to a test block were left out."


def _repeated(count):
    return f", repeated with {count} different splits" if count > 1 else ""


def _caution(evaluation):
    cautions = []
    seen = evaluation["seen_in_training"]
    if seen:
        everyone = evaluation["data"]["n_participants"]
        who = "all" if len(seen) == everyone else f"{len(seen)} of the {everyone}"
        cautions.append(
            f"The model was pretrained on recordings of {who} participants evaluated here, without "
            "their labels; its score may be too high."
        )
    if evaluation["folds"]["kind"] == "block":
        cautions.append(
            "A condition is one recording of a participant, so whatever differs between two "
            "recordings counts, for p too, not only the condition; record more people, or each "
            "condition five times."
        )
    cautions += [
        f"All participants of class {label} are at site {site}, so whatever is particular to that "
        "site counts."
        for label, site in evaluation["data"]["at_one_site"].items()
    ]
    lead = _lead(evaluation)["scores"][evaluation["primary"]]
    if lead["low"] == lead["high"] == 1:
        cautions.append(
            "Nothing was mistaken in any resample, so the interval has no width; with so few "
            "recordings that is not certainty."
        )
    return " ".join(cautions) or None
