"""Sentences that summarise an evaluation: score, comparison, permutation test and scope."""

_SCORE_NAMES = {
    "roc_auc": "ROC AUC",
    "balanced_accuracy": "balanced accuracy",
    "r": "Pearson r",
    "mae": "mean absolute error",
    "r2": "R²",
}
#: Numbers of training participants per class that are reported.
_REPORTED_SHOTS = (5, 10, 25)
_MODALITY = {"eeg": "EEG", "bold": "fMRI"}
#: What is counted of a column, in words.
COUNTS = {
    "n_read": "read",
    "n_capped": "of them known to be at least or at most the value",
    "n_missing": "missing",
    "n_sentinel": "with a number that stands for missing",
    "n_without_row": "without a row",
}


def score_name(key):
    """Return the display name of a score.

    Parameters
    ----------
    key : str
        Such as ``roc_auc``.

    Returns
    -------
    name : str
    """
    return _SCORE_NAMES.get(key, key)


def summarise_evaluation(evaluation):
    """Summarise an evaluation in sentences.

    Parameters
    ----------
    evaluation : dict
        Content of ``evaluation.json``, without ``answer``.

    Returns
    -------
    answer : dict of str to str
        ``headline`` (score and interval), ``against`` (comparison with the best baseline), ``few``
        (few-shot scores), ``sure`` (permutation test), ``without`` (confounds regressed out),
        ``scope`` (population and folds), ``selection`` (selected and excluded recordings),
        ``columns`` (how the columns of the tables were read) and ``caution``; those that apply.
    """
    lead = _lead(evaluation)
    answer = {
        "headline": _headline(evaluation, lead),
        "against": _against(evaluation),
        "few": _few(evaluation),
        "sure": _sure(evaluation, lead),
        "without": _without(evaluation),
        "scope": _scope(evaluation),
        "selection": _selection(evaluation["data"].get("selection")),
        "columns": _columns(evaluation["data"]),
        "caution": _caution(evaluation),
    }
    return {key: sentence for key, sentence in answer.items() if sentence}


def _lead(evaluation):
    """The pretrained method, or the best baseline with its corrected p."""
    comparison = evaluation["comparison"]
    wanted = comparison.get("method", comparison["best_baseline"])
    lead = next(method for method in evaluation["methods"] if method["name"] == wanted)
    return {**lead, "p": comparison.get("p_best_of_several", lead["p"])}


def _headline(evaluation, lead):
    primary, value = evaluation["primary"], lead["scores"][evaluation["primary"]]
    can = "can" if _is_above_chance(evaluation, lead) else "could not"
    if lead["p"] is not None and lead["p"] >= 0.05 and evaluation["n_arrangements"] <= 20:
        can = "may or may not"  # with so few permutations p cannot be small
    chance = "0.50" if primary == "roc_auc" else "0"
    return (
        f"{_claim(evaluation['question'], can)} with {lead['name']}: {score_name(primary)} "
        f"{value['value']:.2f} (95 % interval {value['low']:.2f} to {value['high']:.2f}; "
        f"{chance} is chance)."
    )


def _claim(target, can):
    signal, classes = _MODALITY[target["modality"]], target["classes"]
    if target["kind"] == "contrast":
        names = target["name"].split(" against ")
        return f"{', '.join(names[:-1])} and {names[-1]} {can} be distinguished from {signal}"
    if classes:
        return f"{target['name']} ({', '.join(classes)}) {can} be predicted from {signal}"
    return f"{target['name']} {can} be predicted from {signal}"


def spell_p(p):
    """Format a p value with three decimals, or in scientific notation below 0.001.

    Parameters
    ----------
    p : float

    Returns
    -------
    text : str
    """
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1g}"


def _is_above_chance(evaluation, lead):
    chance = 0.5 if evaluation["primary"] == "roc_auc" else 0.0
    low = lead["scores"][evaluation["primary"]]["low"]
    is_not_significant = lead["p"] is not None and lead["p"] >= 0.05
    return not is_not_significant and low is not None and low > chance


def _against(evaluation):
    comparison = evaluation["comparison"]
    if "method" not in comparison:
        return f"No pretrained model was given; the best baseline is {comparison['best_baseline']}."
    low, high, test = comparison["low"], comparison["high"], comparison["t_test"]
    by_folds = f"; corrected t test over folds: p = {spell_p(test['p'])}" if test else ""
    if low is not None and low > 0:
        verdict = "better than"
    elif high is not None and high < 0:
        verdict = "worse than"
    else:
        verdict = "not distinguishable from"
    best = next(m for m in evaluation["methods"] if m["name"] == comparison["best_baseline"])
    score = best["scores"][evaluation["primary"]]
    return (
        f"This is {verdict} the best baseline on the same folds, {best['name']}, with "
        f"{score['value']:.2f} ({score['low']:.2f} to {score['high']:.2f}): difference "
        f"{_signed(comparison['difference'])} (95 % interval {_signed(low)} to {_signed(high)}"
        f"{by_folds})."
    )


def _signed(value):
    spelled = f"{value:+.2f}"
    return "0.00" if spelled in ("+0.00", "-0.00") else spelled.replace("-", "−")


def _few(evaluation):
    """Few-shot scores, and differences from the best baseline."""
    group = "class" if evaluation["question"]["classes"] else "half of the values"
    reported = [
        f"{row['score']:.2f} with {row['k']} per {group}, a difference of "
        f"{_signed(row['difference'])} ({_signed(row['low'])} to {_signed(row['high'])}) from "
        f"{row['against']}"
        for row in evaluation["few_shot"]
        if row["k"] in _REPORTED_SHOTS
    ]
    if not reported:
        return None
    return (
        f"With few training participants the score is {'; '.join(reported)} (means over random "
        "draws of the training participants, with 95 % intervals over the draws)."
    )


def _sure(evaluation, lead):
    count = evaluation["n_permutations"]
    if lead["p"] is None or not count:
        return None
    possible, limit = evaluation["n_arrangements"], ""
    if possible < 1000:
        limit = (
            f"; only {possible} distinct permutations of the labels exist, so p is at least "
            f"{1 / possible:.2g}"
        )
    return f"Permutation test: p = {spell_p(lead['p'])} ({count} permutations{limit})."


def _without(evaluation):
    """Score with all audited columns regressed out."""
    if not evaluation["audit"]:
        return None
    score = evaluation["audit"][-1]["without"]
    names = [row["column"].replace("_", " ") for row in evaluation["audit"]]
    names = names[:-1] if len(names) > 1 else names
    return (
        f"With {', '.join(names)} regressed out of {evaluation['methods'][0]['name']} inside the "
        f"folds, the score is {score['value']:.2f} ({score['low']:.2f} to {score['high']:.2f})."
        + _covariates_alone(evaluation)
    )


def _covariates_alone(evaluation):
    """Score of the covariates without any signal, and a warning where it is as high."""
    for method in evaluation["methods"]:
        if method["kind"] == "covariates":
            alone = method["scores"][evaluation["primary"]]
            lead = _lead(evaluation)
            text = f" These covariates alone, without any signal, score {alone['value']:.2f}"
            if alone["value"] >= lead["scores"][evaluation["primary"]]["value"]:
                return f"{text}, at least as high as {lead['name']}: they may explain its score."
            return f"{text} ({alone['low']:.2f} to {alone['high']:.2f})."
    return ""


def _scope(evaluation):
    data, folds = evaluation["data"], evaluation["folds"]
    people = data["n_participants"]
    if folds["kind"] == "site":
        return (
            f"Estimated for participants of an unseen {folds['groups']}: {people} participants, "
            f"each of {folds['n_splits']} values of {folds['groups']} left out in turn; scores "
            f"compare participants of the same {folds['groups']} only."
        )
    if folds["kind"] == "participant":
        count = folds["n_repeats"]
        repeated = f", repeated with {count} different splits" if count > 1 else ""
        return (
            f"Estimated for unseen participants: {people} participants, each in training or in "
            f"test of a fold ({folds['n_splits']} folds{repeated})."
        )
    who = "one participant" if people == 1 else f"{people} participants"
    cut = (
        f"Estimated within {who}, not for unseen participants. {data['n_recordings']} recordings "
        f"were cut into {data['n_rows']} windows of {folds['window_s']:g} s; "
    )
    if folds["kind"] == "recording":
        return f"{cut}folds leave out whole recordings ({folds['n_splits']} folds)."
    return f"{cut}training windows closer than {folds['gap_s']:g} s to a test block were excluded."


def _selection(selection):
    """Selected labels, and recordings that the exclusion list leaves out, by reason."""
    if not selection:
        return None
    parts = [f"{name} {', '.join(labels)}" for name, labels in selection["labels"].items()
             if name != "participant"]  # fmt: skip
    if "participant" in selection["labels"]:
        parts.append(f"{len(selection['labels']['participant'])} participants by their labels")
    parts += ["runs of a filter file"] if selection["has_filters"] else []
    text = f"Selected: {'; '.join(parts)}." if parts else ""
    if selection["n_recordings"]:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in selection["reasons"].items())
        text += (
            f" The exclusion list leaves out {selection['n_recordings']} recordings of "
            f"{selection['n_participants']} participants: {reasons}."
        )
    return text.strip() or None


def _columns(data):
    """Kind of each column, and its numbers of participants."""
    parts = [
        f"{one['column']} ({one['kind']}{', in ' + one['unit'] if one['unit'] else ''}): "
        + ", ".join(
            f"{one[key]} {word}" for key, word in COUNTS.items() if one[key] or key == "n_read"
        )
        for one in data.get("columns", ())
    ]
    if not parts:
        return None
    n_others = data["participants"]["n_rows_without_recording"]
    others = f" {n_others} participants of the tables have no recording." if n_others else ""
    return f"Participants by column: {'; '.join(parts)}.{others}"


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
            "Each participant has one recording per condition, so differences between recordings "
            "are confounded with the condition, also in the permutation test: record more "
            "participants, or each condition five times."
        )
    cautions += [
        f"All participants of class {label} are at site {site}, so the class is confounded with "
        "the site."
        for label, site in evaluation["data"]["at_one_site"].items()
    ]
    lead = _lead(evaluation)["scores"][evaluation["primary"]]
    if lead["low"] == lead["high"] == 1:
        cautions.append(
            "The score is 1 in every bootstrap draw, so the interval has no width; with few "
            "recordings it underestimates the uncertainty."
        )
    return " ".join(cautions) or None
