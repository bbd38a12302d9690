"""One training in many processes. All goes through files in the run folder, one writer each: no collective of ours."""
