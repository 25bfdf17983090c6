"""The stages of a run, a module each by the stage's name: each takes the run's workbench, does its work or reads what is kept, and
leaves a file under its job's key."""
