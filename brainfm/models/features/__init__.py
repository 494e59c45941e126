"""Features: embeddings and classical features as scikit-learn transformers."""
