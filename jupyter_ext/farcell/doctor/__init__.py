"""`farcell doctor`: what a target takes, looked at hop by hop, each with the way to mend it.

- `checks` is what a check says; `way` judges the way there, `machine` and `cluster` what is there. All three are pure: they
  are given what was answered, and say what it means.
- `script` asks: one shell script on the target, and in it `probe`, which the target's own Python runs from its stdin, so
  that nothing is written but the files that are tried. Only `examination` does anything.
"""
