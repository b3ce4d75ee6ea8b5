import type { Random } from './random.ts'

/** An invented person. */
export type Person = {
  readonly first: string
  readonly last: string
  /** The name in another script; null without one. */
  readonly nativeFirst: string | null
  readonly nativeLast: string | null
  readonly birthdate: string
  readonly street: string
  readonly city: string
  readonly subdivision: string
  readonly postalCode: string
  readonly countryCode: string
  readonly email: string
  readonly phone: string
  readonly identificationNumber: string
}

type Name = readonly [
  first: string,
  last: string,
  countryCode: string,
  nativeFirst: string | null,
  nativeLast: string | null,
]

const names: readonly [Name, ...Name[]] = [
  ['Ada', 'Quillfeather', 'US', null, null],
  ['Zoë', 'Brambleworth', 'GB', null, null],
  ['Hanako', 'Mizutori', 'JP', '花子', '水鳥'],
  ['Nadiya', 'Vyshnevych', 'UA', 'Надія', 'Вишневич'],
  ['Layla', 'Al-Nakhlawi', 'AE', 'ليلى', 'النخلاوي'],
  ['José', 'Piedralba', 'MX', null, null],
  ['Søren', 'Fjeldmose', 'DK', null, null],
  ['Ngozi', 'Okaforenna', 'NG', null, null],
  ['Wei', 'Linshan', 'TW', '微', '林山'],
  ['Björk', 'Hraunsdóttir', 'IS', null, null],
  ['Aoife', "O'Sceolan", 'IE', null, null],
  ['Priya', 'Chandravati', 'IN', 'प्रिया', 'चन्द्रावती'],
]
const streets: readonly [string, ...string[]] = [
  'Larkspur Lane',
  'Copper Row',
  'Old Weir Street',
  'Halfmoon Court',
  'Sextant Way',
]
const cities: readonly [string, ...string[]] = ['Westmarch', 'Port Ellery', 'Dunhollow', 'Santa Vela', 'Northwick']
const subdivisions: readonly [string, ...string[]] = ['California', 'Ontario', 'Bavaria', 'Kent', 'Jalisco']

/** Returns an invented person. */
export function inventPerson(random: Random): Person {
  const [first, last, countryCode, nativeFirst, nativeLast] = random.pick(names)
  const number = random.integer(1000, 9999)
  return {
    first,
    last,
    nativeFirst,
    nativeLast,
    birthdate: `${random.integer(1950, 2004)}-0${random.integer(1, 9)}-1${random.integer(0, 9)}`,
    street: `${random.integer(1, 400)} ${random.pick(streets)}`,
    city: random.pick(cities),
    subdivision: random.pick(subdivisions),
    postalCode: String(random.integer(10_000, 99_999)),
    countryCode,
    email: `person-${number}@mail.example`,
    phone: `+1 555 01${random.integer(10, 99)}`,
    identificationNumber: `X${random.integer(1_000_000, 9_999_999)}`,
  }
}
