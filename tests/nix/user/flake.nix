{
  inputs.fastboot.url = "github:fastboot-rs/fastboot";
  inputs.nixpkgs.follows = "fastboot/nixpkgs";

  outputs =
    { self, fastboot, nixpkgs }:
    let
      pkgs = nixpkgs.legacyPackages.x86_64-linux;
    in
    {
      packages.x86_64-linux.default = fastboot.lib.embed {
        package = pkgs.rustPlatform.buildRustPackage {
          pname = "demo";
          version = "0.1.0";
          src = ./.;
          cargoLock.lockFile = ./Cargo.lock;
        };
        bin = "demo";
      };
    };
}
