"""Files, locks, downloads, untrusted pickles, and text: what every other room builds on."""
