"""relight-eval: how good is a relit image, and why is it wrong.

The map of the house, lower rooms first; a room imports only what stands lower.

    statistics, errors, files            numbers in, numbers out; what can be mended; writing whole files
    downloads, groups, magma, gallery    an address to a verified file; which images belong together; the colours of
                                         maps; pictures of a run, encoded
    decoding                             the bytes of an image file to its planes, at their depth
    images, pairs, weights, results      files to tensors, folders to pairs, VGG19, what a run found
    columns, rules, noise, common        every score column described; bounds on them; how much they move by
                                         themselves; what several runs have in common
    records                              scores kept as they come: a journal, a cache, a lock
    findings, skill, alignment           why an image is wrong, in words; what a score is worth; a prediction brought
                                         to the exposure of its target
    metrics, gates, comparison           what is measured; what rules say of a run; which run is better
    engines, reports                     who does the work; how it is told
    trackers                             runs to TensorBoard, MLflow and W&B
    evaluate, losses, torchmetrics,      whole runs; the training side over the same functions, to minimise and to
    pictures, doctor                     watch; a second look at the images; whether all is well on this machine
    cli                                  the command line
"""

__version__ = "0.1.0"
