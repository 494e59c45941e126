"""Embed: compute one vector per recording with a pretrained model.

In: a standardised recording and a checkpoint. Out: ``*_embedding.npy``, a float32 vector, and its
sidecar. The public function is :func:`~brainfm.stages.embed.recording.embed_recording`.

- ``recording.py``: embedding, file name and sidecar of one recording
"""
