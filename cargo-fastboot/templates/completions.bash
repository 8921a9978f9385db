
# `cargo-fastboot ..`, whose hyphen cannot be in the name above.
complete -r cargo_fastboot
complete -F _cargo_fastboot -o nosort -o bashdefault -o default cargo-fastboot

# `cargo fastboot ..`: cargo's own completion knows cargo's own subcommands only, so this stands in front of it.
if ! declare -F _cargo >/dev/null && declare -F _completion_loader >/dev/null; then
    _completion_loader cargo
fi
_cargo_or_fastboot() {
    if [[ ${COMP_WORDS[1]-} == fastboot && $COMP_CWORD -gt 1 ]]; then
        local COMP_WORDS=(cargo-fastboot "${COMP_WORDS[@]:2}")
        local COMP_CWORD=$((COMP_CWORD - 1))
        _cargo_fastboot cargo-fastboot "$2" "$3"
    elif declare -F _cargo >/dev/null; then
        _cargo "$@"
    fi
}
complete -F _cargo_or_fastboot -o nosort -o bashdefault -o default cargo
