
# `cargo fastboot ..`
complete --command cargo --condition '__fish_seen_subcommand_from fastboot' --no-files \
    --arguments '(complete --do-complete "cargo-fastboot "(string join " " -- (commandline -opc)[3..] (commandline -ct)))'
