"""`framegate bench`: what a machine can carry, and how well; thin, the benches need a source checkout."""
