"""The custom resources as typed, frozen models; `crds/*.yaml` is generated from them."""
