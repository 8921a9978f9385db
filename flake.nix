{
  description = "fastboot: programs that start with their data in place";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      # The only one that images exist for.
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};

      # Without what no build reads: a change of it builds nothing anew.
      source = builtins.path {
        name = "fastboot-source";
        path = ./.;
        filter =
          path: type:
          !(builtins.elem (baseNameOf path) [
            ".ci"
            ".git"
            ".github"
            "action.yml"
            "docs"
            "flake.lock"
            "flake.nix"
            "nix"
            "target"
          ]);
      };

      crate =
        package: more:
        pkgs.rustPlatform.buildRustPackage (
          {
            pname = package;
            version = (builtins.fromTOML (builtins.readFile ./Cargo.toml)).workspace.package.version;
            src = source;
            cargoLock.lockFile = ./Cargo.lock;
            cargoBuildFlags = [
              "--package"
              package
            ];
            # `checks` tests all of them.
            doCheck = false;
          }
          // more
        );

      cargo-fastboot = crate "cargo-fastboot" {
        nativeBuildInputs = [ pkgs.installShellFiles ];
        postInstall = ''
          for shell in bash fish zsh; do
            $out/bin/cargo-fastboot completions $shell > completions.$shell
          done
          installShellCompletion --cmd cargo-fastboot \
            --bash completions.bash --fish completions.fish --zsh completions.zsh
          $out/bin/cargo-fastboot man man
          installManPage man/*
        '';
      };

      # The three phases. Each is a derivation: what it is made from decides whether it is made again.

      # A package that buildRustPackage makes, with its program `bin` cold. It is built as it is, and then the one crate
      # that is linked otherwise once more.
      cold =
        { package, bin }:
        package.overrideAttrs (old: {
          nativeBuildInputs = (old.nativeBuildInputs or [ ]) ++ [ cargo-fastboot ];
          postBuild = (old.postBuild or "") + ''
            cargo-fastboot build --cold --offline ${toString (old.cargoBuildFlags or [ ])} --bin ${bin} \
              --profile ${old.cargoBuildType or "release"} --out-dir fastboot-cold \
              --target ${pkgs.stdenv.hostPlatform.rust.rustcTarget}
          '';
          postInstall = (old.postInstall or "") + ''
            install -m 755 fastboot-cold/${bin} $out/bin/${bin}
          '';
          # Its symbols name the statics that have to travel in the image.
          dontStrip = true;
          dontPatchELF = true;
        });

      # The image of that program. `directory` is where its roots are evaluated, `environment` what they find there.
      snapshot =
        {
          package,
          bin,
          directory ? package.src,
          environment ? { },
        }:
        pkgs.runCommand "${bin}-snapshot" (environment // { nativeBuildInputs = [ cargo-fastboot ]; }) ''
          mkdir $out
          cd ${directory}
          cargo-fastboot freeze --binary ${cold { inherit package bin; }}/bin/${bin} -o $out/${bin}.snap
        '';

      # The package, with the image embedded in its program: the same arguments.
      embed =
        {
          package,
          bin,
          directory ? package.src,
          environment ? { },
        }@arguments:
        pkgs.runCommand "${bin}-embedded" (environment // { nativeBuildInputs = [ cargo-fastboot ]; }) ''
          cp -r ${cold { inherit package bin; }} $out
          chmod -R u+w $out
          cargo-fastboot embed --binary $out/bin/${bin} --snapshot ${snapshot arguments}/${bin}.snap -o $out/bin/${bin}
          cd ${directory}
          cargo-fastboot verify $out/bin/${bin}
        '';

      # For working on fastboot: Rust, what the tests look at binaries with, and the shells whose completions they try.
      tools = with pkgs; [
        binutils
        cargo
        clippy
        elfutils
        fish
        gdb
        nix
        rustc
        rustfmt
        strace
        valgrind
        zsh
      ];

      bench = {
        package = crate "mini-fzf" { };
        bin = "mini-fzf";
      };
    in
    {
      lib = { inherit cold snapshot embed; };

      packages.${system} = {
        inherit cargo-fastboot;
        default = cargo-fastboot;
        bench = cold bench;
        snapshot = snapshot bench;
        bench-embedded = embed bench;
      };

      devShells.${system}.default = pkgs.mkShell { packages = tools; };

      checks.${system} = {
        # The embedded program says where its list came from.
        thaws = pkgs.runCommand "thaws" { } ''
          FASTBOOT_LOG=1 ${embed bench}/bin/mini-fzf --get 0 2> log
          grep '^fastboot: thawed 1 root from section' log
          cp log $out
        '';
        ci = crate "fastboot-ci" {
          # The test programs have a lock file of their own.
          cargoLock = null;
          cargoDeps = pkgs.symlinkJoin {
            name = "fastboot-ci-vendor";
            paths = map (lockFile: pkgs.rustPlatform.importCargoLock { inherit lockFile; }) [
              ./Cargo.lock
              ./tests/programs/Cargo.lock
            ];
          };
          nativeBuildInputs = tools;
          buildPhase = "cargo xtask ci";
          installPhase = "touch $out";
        };
      };
    };
}
