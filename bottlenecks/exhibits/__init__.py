"""Figures: each registered once, as a table of numbers and a drawing of that table.

`registry` says what an exhibit is, `style` how it looks. A drawing consists of `axes`, of `marks` and `labels` that know
which columns fill them, or of a picture that several chapters share: `against`, measured against predicted. `ch01`, ...
hold one chapter's figures; where these are many, a second file's name says what it holds.
"""
