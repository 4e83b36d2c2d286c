"""The paper's tables and figures, made again: numbers and verdicts, without drawings.

Every part (:data:`~cloudedge_pl.paper.parts.PARTS`) measures one table or figure and judges what the paper claims of
it.
"""
