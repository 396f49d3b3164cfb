-- err.code is a word, good for a label; err.msg has everything.
count("error", err.code)
log.warn("metrics: an error", {script = err.script, hook = err.hook, msg = err.msg})
