"""relight-eval: how good is a relit image, and why is it wrong.

The map of the house, lower rooms first; a room imports only what stands lower.

    statistics, errors, files            numbers in, numbers out; what can be mended; writing whole files
    downloads                            an address to a verified file
    images, pairs, weights, results      files to tensors, folders to pairs, VGG19, what a run found
    columns                              every score column, described
    metrics                              what is measured: the table METRICS, one file per metric
    engines, reports                     who does the work; how it is told
    evaluate, losses                     a whole run; the training side over the same functions
    cli                                  the command line
"""

__version__ = "0.1.0"
