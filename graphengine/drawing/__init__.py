"""Drawing: a workflow as a picture.

`svg` draws it itself: a node is a card, a body a frame, a wire has the colour of its type. It hands its boxes
and wires to `layout`, which is geometry alone and says where each stands. `mermaid` draws nothing: it writes
the graph as text, for pages that have a program to draw it.
"""
