{
  description = "Stands in for nixpkgs in tests: as much of it as fastboot's flake uses, made of the host's programs";

  outputs =
    { self }:
    let
      system = "x86_64-linux";
      rustcTarget = "x86_64-unknown-linux-gnu";

      # Empty unless --impure: then everything evaluates, and nothing can be built.
      host = builtins.getEnv;

      # Runs `script`. The attributes that can be variables are, as in stdenv.
      run =
        name: attributes: script:
        let
          tools = map (tool: "${tool}/bin") (attributes.nativeBuildInputs or [ ]);
          no_variables = [
            "cargoLock"
            "nativeBuildInputs"
          ];
        in
        derivation (
          {
            CARGO_HOME = host "CARGO_HOME";
            CARGO_NET_OFFLINE = "true";
            CARGO_TERM_COLOR = "never";
            RUSTUP_HOME = host "RUSTUP_HOME";
            # Shared by all, so that no dependency is built twice.
            CARGO_TARGET_DIR = host "FASTBOOT_NIX_TARGET";
            # What is tested is not the optimiser.
            CARGO_PROFILE_RELEASE_OPT_LEVEL = "0";
            CARGO_PROFILE_RELEASE_DEBUG = "false";
            # A list that is shorter than the built-in one.
            MINI_FZF_INPUT = host "MINI_FZF_INPUT";
          }
          // removeAttrs attributes no_variables
          // {
            inherit name system;
            PATH = builtins.concatStringsSep ":" (tools ++ [ (host "PATH") ]);
            builder = "/bin/sh";
            args = [
              "-euc"
              script
            ];
          }
        );

      # The phases of buildRustPackage, as far as they matter. Installs the program that is called like the package.
      buildRustPackage =
        attributes:
        run "${attributes.pname}-${attributes.version}" attributes ''
          installManPage() { mkdir -p $out/share/man/man1; cp "$@" $out/share/man/man1; }
          installShellCompletion() { mkdir -p $out/share/completions; cp completions.* $out/share/completions; }
          cp -r $src source
          chmod -R u+w source
          cd source
          ${attributes.buildPhase or "cargo build --locked --release --target ${rustcTarget} \${cargoBuildFlags-}"}
          ${attributes.postBuild or ""}
          ${attributes.installPhase or ''
            mkdir -p $out/bin
            cp "$CARGO_TARGET_DIR/${rustcTarget}/release/$pname" $out/bin
          ''}
          ${attributes.postInstall or ""}
        ''
        // {
          inherit (attributes) src;
          overrideAttrs = change: buildRustPackage (attributes // change attributes);
        };

      # A program of the host is in PATH anyway.
      programs =
        names:
        builtins.listToAttrs (
          map (name: {
            inherit name;
            value = run name { } "mkdir -p $out/bin";
          }) names
        );
    in
    {
      legacyPackages.${system} =
        programs [
          "binutils"
          "cargo"
          "clippy"
          "elfutils"
          "fish"
          "gdb"
          "installShellFiles"
          "nix"
          "rustc"
          "rustfmt"
          "strace"
          "valgrind"
          "zsh"
        ]
        // {
          stdenv.hostPlatform.rust.rustcTarget = rustcTarget;
          rustPlatform = {
            inherit buildRustPackage;
            importCargoLock = { lockFile }: run "vendor" { inherit lockFile; } "mkdir $out";
          };
          runCommand = run;
          symlinkJoin = { name, paths }: run name { inherit paths; } "mkdir $out";
          mkShell = { packages }: run "shell" { nativeBuildInputs = packages; } "mkdir $out";
        };
    };
}
