"""Map of an evaluation: its rows on the first two principal components of their embeddings."""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from brainfm.stages.evaluate.tables import join_columns

#: With fewer rows, principal components show single recordings.
MIN_ROWS_FOR_PCA = 8


def map_embeddings(method, design, precomputed):
    """Project the rows of an evaluation on two principal components.

    Parameters
    ----------
    method : Method
        First method of the evaluation.
    design : brainfm.stages.evaluate.design.EvaluationDesign
    precomputed : dict of transformer to ndarray of float, shape (n_rows, n_features)
        Embeddings.

    Returns
    -------
    rows : DataFrame of n_rows rows
        ``pc1``, ``pc2``, labels of the recording, the target, and the phenotypes of the design.
        Empty without embeddings of at least two columns, or with fewer than 8 rows.
    """
    if method.kind != "pretrained" or len(design.y) < MIN_ROWS_FOR_PCA:
        return pd.DataFrame(columns=["pc1", "pc2"])
    vectors = np.asarray(precomputed[method.features[0]])
    if vectors.shape[1] < 2:
        return pd.DataFrame(columns=["pc1", "pc2"])
    components = PCA(2, svd_solver="full").fit_transform(vectors - vectors.mean(axis=0))
    rows = pd.DataFrame(components, columns=["pc1", "pc2"])
    columns = design.phenotypes.assign(**{design.target.name: design.y})
    labels = design.labels.drop(columns=["group", "start_s"]).reset_index(drop=True)
    return join_columns(rows.join(labels), columns)
