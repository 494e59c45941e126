"""The map of an evaluation: its rows on two principal components of their embeddings."""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from brainfm.stages.evaluate.tables import beside

#: With fewer recordings than this, principal components show the recordings themselves.
FEWEST_FOR_PCA = 8


def map_of(method, asked, measured):
    """Place the rows of a question on a plane.

    Parameters
    ----------
    method : Method
        The first of an evaluation.
    asked : brainfm.stages.evaluate.design.EvaluationDesign
    measured : dict
        Embeddings by transformer.

    Returns
    -------
    rows : DataFrame, one row a row
        ``pc1`` and ``pc2``, beside all that is known of the row: labels of the recording, the
        target, and columns of ``participants.tsv`` that are numbers or have few values. Empty
        without an embedding of two numbers or more, or with fewer than 8 rows.
    """
    if method.kind != "pretrained" or len(asked.y) < FEWEST_FOR_PCA:
        return pd.DataFrame(columns=["pc1", "pc2"])
    vectors = np.asarray(measured[method.features[0]])
    if vectors.shape[1] < 2:
        return pd.DataFrame(columns=["pc1", "pc2"])
    places = PCA(2, svd_solver="full").fit_transform(vectors - vectors.mean(axis=0))
    rows = pd.DataFrame(places, columns=["pc1", "pc2"])
    known = asked.known.assign(**{asked.question.name: asked.y})
    labels = asked.where.drop(columns=["group", "start_s"]).reset_index(drop=True)
    return beside(rows.join(labels), known)
